"""Tools of extensions: the example of docs/tools.md, failures that leave the extension on, and lies."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

from modules.plugins.tools.extension_tools import ExtensionTools
from modules.plugins.tools.tool_run import FAILED, ToolResult, run_tool
from tests.conftest import ROOT
from tests.plugins.conftest import Talk

TOOLS = """
def fail():
    raise ValueError('no clock')

def tools():
    return [
        {'name': 'add', 'call': lambda a, b: {'sum': a + b}},
        {'name': 'fail', 'call': fail, 'parameters': {'type': 'object'}},
        {'name': 'liar', 'call': fail, 'parameters': {'properties': 5}},
        {'name': 'no call'},
        7,
    ]
"""


def _run(talk: Talk, name: str, **arguments: Any) -> ToolResult:
    tools = ExtensionTools(talk.manager).tools(["extension/x/y"], "")
    tool = next(tool for tool in tools if tool.name == name)
    return run_tool(tool, json.dumps(arguments), threading.Event())


def test_the_example_of_the_docs_works(talk: Talk) -> None:
    text = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n# extensions/clock/extension.py\n(.*?)```", text, re.DOTALL)
    talk.add("clock", code)
    assert re.fullmatch(r"\d\d:\d\d", _run(talk, "time", format="%H:%M").text)


def test_a_call_that_fails_leaves_the_extension_on(talk: Talk) -> None:
    talk.add("own", TOOLS)
    assert _run(talk, "add", a=1, b=2).text == '{"sum": 3}'
    failed = _run(talk, "fail")
    assert failed.state == FAILED and "no clock" in failed.text
    assert _run(talk, "add", c=1).state == FAILED
    assert talk.manager.running.get("own") is not None


def test_a_tool_that_is_none_is_named_and_left_out(talk: Talk) -> None:
    talk.add("own", TOOLS)
    (state,) = ExtensionTools(talk.manager).states()
    assert [tool.name for tool in state.tools] == ["add", "fail"] and "'liar' was left out" in state.note


def test_without_a_need_no_hook_runs(talk: Talk) -> None:
    talk.add("own", "def tools():\n    raise ValueError('asked')")
    assert ExtensionTools(talk.manager).tools(["paddock/calculate"], "") == []
    assert talk.manager.running.get("own") is not None
