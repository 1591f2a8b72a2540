"""The user's choices about tools: per chat, for new chats, allowed once and for all, and asked again."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modules.plugins.tools.calculate import CALCULATE
from modules.plugins.tools.tool import Tool
from modules.plugins.tools.tool_choices import ToolChoices
from modules.plugins.tools.toolbox import ShippedTools, Toolbox
from modules.settings.user_settings import YamlStore


def _choices(folder: Path) -> ToolChoices:
    return ToolChoices(YamlStore(folder / "tools.yaml"))


def test_a_chat_has_the_tools_of_new_chats_until_it_has_its_own(tmp_path: Path) -> None:
    choices = _choices(tmp_path)
    assert choices.switched_on("one") == []
    choices.switch("", "a", True)
    assert choices.switched_on("one") == ["a"]
    choices.switch("one", "b", True)
    choices.switch("", "a", False)
    again = _choices(tmp_path)
    assert (again.switched_on("one"), again.switched_on("two")) == (["a", "b"], [])
    again.switch("one", "a", False)
    again.switch("one", "b", False)
    again.switch("", "c", True)
    assert again.switched_on("one") == [], "a chat whose tools are all off stays so"


def test_what_is_allowed_asks_again_when_the_user_wants(tmp_path: Path) -> None:
    choices = _choices(tmp_path)
    choices.allow("one", "a")
    assert choices.allows("one", "a") and not choices.allows("two", "a")
    choices.allow("one", "a", always=True)
    assert _choices(tmp_path).allows("two", "a")
    choices.ask_again("one", "a")
    assert not choices.allows("one", "a") and not choices.allows("two", "a")


def test_a_branch_has_the_tools_but_asks(tmp_path: Path) -> None:
    choices = _choices(tmp_path)
    choices.switch("one", "a", True)
    choices.allow("one", "a")
    choices.copy("one", "two")
    assert choices.switched_on("two") == ["a"] and not choices.allows("two", "a")


def test_a_file_with_nonsense_switches_nothing_on(tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text("chats: [1]\nalways: {a: b}\nnew_chats: 5\n")
    choices = _choices(tmp_path)
    assert choices.switched_on("one") == [] and not choices.allows("one", "a")


def test_two_tools_of_one_name_get_two_names(tmp_path: Path) -> None:
    def call(arguments: Mapping[str, Any], stopped: threading.Event) -> str:
        return "other"

    other = Tool("calculate", "mcp/sums/1/calculate", "sums", "", call)
    toolbox = Toolbox(_choices(tmp_path), lambda: [ShippedTools([CALCULATE]), ShippedTools([other])])
    assert toolbox.for_chat("one") == []
    for key in (CALCULATE.key, other.key):
        toolbox.choices.switch("one", key, True)
    assert [tool.name for tool in toolbox.for_chat("one")] == ["calculate", "sums_calculate"]
