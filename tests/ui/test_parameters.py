"""The help of the Parameters tab says what the loaded model's loader supports."""

from __future__ import annotations

from typing import Any

import pytest

from loaders.llamacpp.spec import SPEC as LLAMACPP
from modules.app import App
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import ALWAYS_HONOURED, SamplingParams
from modules.protocol.schema import describe
from modules.ui.tabs.parameter_texts import help_text, loaded_spec

SETTINGS = {setting.name: setting for setting in describe(SamplingParams)}


def test_the_help_says_what_the_loader_does_not_support_or_does_differently() -> None:
    top_a, xtc, top_p = SETTINGS["top_a"], SETTINGS["xtc_probability"], SETTINGS["top_p"]
    assert help_text(top_a, LLAMACPP) == f"Not supported by {LLAMACPP.title}. {top_a.info.help}"
    assert help_text(xtc, LLAMACPP) == f"{xtc.info.help} In {LLAMACPP.title}: {LLAMACPP.differs['xtc_probability']}"
    assert help_text(top_p, LLAMACPP) == help_text(top_p, None) == top_p.info.help


def test_a_field_without_help_has_none() -> None:
    assert help_text(SETTINGS["mirostat_tau"], None) is None


def test_the_loaded_models_loader_is_asked(app: App) -> None:
    assert loaded_spec(app) is None
    app.models.load("tiny", "echo")
    spec = loaded_spec(app)
    assert spec is not None and spec.name == "echo"
    assert spec.samplers >= ALWAYS_HONOURED


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("sampler_priority", ["top_q"], "no sampler named 'top_q'"),
        ("custom_token_bans", "none", "Banned tokens cannot be 'none'"),
        ("logit_bias", "13", "Logit bias cannot be '13'"),
    ],
)
def test_a_text_that_no_reply_could_read_is_refused_at_once(app: App, name: str, text: Any, words: str) -> None:
    before = app.sampling.params()
    with pytest.raises(PaddockError, match=words):
        app.sampling.set(name, text)
    assert app.sampling.params() == before
    # One that a preset brought does not stand in the way of the others.
    app.settings.set("sampling", {name: text})
    app.sampling.set("top_k", 7)
    assert app.sampling.params().top_k == 7
