"""A script's params: overrides, settings on the page, and changes from both sides."""

from __future__ import annotations

import yaml

from modules.plugins.extension_overview import extension_statuses
from modules.settings.config import Config
from tests.compat.conftest import Stage

CODE = """
import json

params = {
    "display_name": "My dice",
    "is_tab": True,
    "faces": 6,
    "loud": False,
    "custom string": "with a space",
    "words": ["a"],
}
at_import = dict(params)

def setup():
    params["at_setup"] = dict(params)

def input_modifier(string):
    return f"{params['faces']} {params['loud']}"

def ui():
    pass
"""


def test_display_name_and_is_tab_decide_how_it_is_shown(stage: Stage) -> None:
    stage.script("dice", CODE)
    status = extension_statuses(stage.manager)[0]
    assert (status.title, status.is_tab, status.kind) == ("My dice", True, "text-generation-webui")


def test_plain_params_are_settings_that_take_effect(stage: Stage) -> None:
    module = stage.script("dice", CODE)
    assert stage.ask("x")[-1].text == "6 False"
    stage.manager.configure("dice", {"faces": 20})
    assert stage.ask("x")[-1].text == "20 False"
    module.params["faces"] = 12  # on the script's own page
    assert stage.ask("x")[-1].text == "12 False"
    stage.manager.configure("dice", {"loud": True})
    assert stage.ask("x")[-1].text == "12 True"


def test_saved_values_are_set_before_setup(stage: Stage) -> None:
    stage.script("dice", CODE)
    stage.manager.configure("dice", {"faces": 20})
    stage.manager.disable("dice")
    module = stage.script("dice", CODE)
    assert module.at_import["faces"] == 6 and module.params["at_setup"]["faces"] == 20
    assert stage.ask("x")[-1].text == "20 False"


def test_settings_yaml_overrides_params_by_extension_and_name(config: Config, stage: Stage) -> None:
    stage.app.settings.update({"dice-faces": 8, "dice-custom string": "set", "other-faces": 3})
    module = stage.script("dice", CODE)
    assert module.params["faces"] == 8 and module.params["custom string"] == "set"
    assert stage.facade("modules.shared").settings["dice-faces"] == 8
    kept = yaml.safe_load((stage.app.paths.user_data / "settings.yaml").read_text())
    assert kept["dice-faces"] == 8
