"""Forms: every setting gets a field, and the field returns the value that it was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from modules.families.transformers_settings import TransformersSettings
from modules.protocol.errors import SettingError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import DRAFTS, Setting, describe
from modules.runtime.loader_registry import Registry
from modules.ui.settings_form import caption, entered, form, group_order, shown

SCHEMAS: list[type] = [SamplingParams, *(spec.settings for spec in Registry(Path("loaders")).specs.values())]
EVERY = [
    pytest.param(setting, id=f"{schema.__module__}.{setting.name}")
    for schema in SCHEMAS
    for setting in describe(schema)
]


@pytest.mark.parametrize("setting", EVERY)
def test_a_default_survives_its_field(setting: Setting) -> None:
    assert entered(setting, shown(setting, setting.default)) == setting.default


@pytest.mark.parametrize("schema", SCHEMAS)
def test_every_setting_has_a_field_and_those_with_a_unit_say_it(schema: type) -> None:
    with gr.Blocks():
        fields = form(describe(schema), {})
    assert set(fields) == {setting.name for setting in describe(schema)}
    for setting in describe(schema):
        assert setting.info.unit in caption(setting)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_fold_that_is_open_first_is_not_that_of_drafts(schema: type) -> None:
    groups = group_order([setting for setting in describe(schema) if not setting.info.advanced])
    assert DRAFTS not in groups[:-1]


def _setting(name: str) -> Setting:
    return next(setting for setting in describe(SamplingParams) if setting.name == name)


@pytest.mark.parametrize("texts", [["\n", ":"], ["a\\nb", "\\"], ["one", "two\nthree"], []])
def test_texts_with_line_breaks_and_backslashes_come_back_as_they_were(texts: list[str]) -> None:
    stop = _setting("stop")
    assert entered(stop, shown(stop, texts)) == texts


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 99), ("max_new_tokens", 0), ("top_k", 1.5), ("seed", None)]
)
def test_a_bad_value_is_refused_with_what_is_allowed(name: str, value: Any) -> None:
    with pytest.raises(SettingError, match="It takes"):
        entered(_setting(name), value)


def test_a_text_with_offers_is_a_list_that_takes_other_texts_too() -> None:
    with gr.Blocks():
        fields = form(
            describe(TransformersSettings), {"draft_model": "mine"}, offered={"draft_model": ["small", "tiny"]}
        )
    offered, plain = fields["draft_model"], fields["gpu_memory"]
    assert isinstance(offered, gr.Dropdown) and isinstance(plain, gr.Textbox)
    assert offered.choices == [("none", ""), ("small", "small"), ("tiny", "tiny")]
    assert offered.allow_custom_value and offered.value == "mine"
    assert entered({entry.name: entry for entry in describe(TransformersSettings)}["draft_model"], "other") == "other"
