"""A call of a tool ends with a result, whatever the tool does."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from modules.plugins.tools.tool import Tool, checked_parameters, tool_name
from modules.plugins.tools.tool_run import FAILED, LONGEST_RESULT, OK, STOPPED, run_tool
from modules.protocol.errors import PaddockError


def _run(call: Callable[..., Any], arguments: str = "{}", seconds: float = 30.0) -> Any:
    tool = Tool("test", "test/test", "Tests", "", lambda values, stopped: call(**values), seconds=seconds)
    return run_tool(tool, arguments, threading.Event())


def test_the_arguments_arrive_by_name() -> None:
    result = _run(lambda a, b: f"{a}-{b}", '{"a": 1, "b": "x"}')
    assert (result.text, result.state) == ("1-x", OK)


@pytest.mark.parametrize("arguments", ["[1]", "{", "7", "[" * 100_000])
def test_arguments_that_are_no_object_are_an_error(arguments: str) -> None:
    assert _run(lambda: "x", arguments).state == FAILED


def test_a_tool_that_raises_has_failed() -> None:
    def broken() -> str:
        raise ZeroDivisionError("no")

    def sentence() -> str:
        raise PaddockError("The disk is full.")

    def leave() -> str:
        raise SystemExit(3)

    assert _run(broken).text == "The tool failed: ZeroDivisionError: no"
    assert _run(sentence).text == "The disk is full."
    assert _run(leave).state == FAILED
    assert _run(lambda: "x", '{"unknown": 1}').state == FAILED


def test_a_long_result_is_cut() -> None:
    result = _run(lambda: "x" * 100_000_000)
    assert result.state == OK and len(result.text) < LONGEST_RESULT + 200
    assert "100,000,000 characters" in result.text


def test_a_tool_that_never_returns_is_given_up() -> None:
    given_up = threading.Event()

    def call(values: Any, stopped: threading.Event) -> str:
        if stopped.wait(60):
            given_up.set()
        return "late"

    result = run_tool(Tool("test", "test/test", "Tests", "", call, seconds=0.3), "{}", threading.Event())
    assert result.state == FAILED and "0.3 seconds" in result.text
    assert given_up.wait(30), "the tool did not learn that it was given up"


def test_stopping_the_reply_ends_the_wait() -> None:
    stopped, begun = threading.Event(), threading.Event()

    def call(values: Any, given_up: threading.Event) -> str:
        begun.set()
        given_up.wait(60)
        return "late"

    results: list[Any] = []
    tool = Tool("test", "test/test", "Tests", "", call)
    thread = threading.Thread(target=lambda: results.append(run_tool(tool, "{}", stopped)))
    thread.start()
    assert begun.wait(30)
    stopped.set()
    thread.join(30)
    assert results[0].state == STOPPED


@pytest.mark.parametrize(
    "schema",
    ["text", {"type": "array"}, {"properties": []}, {"properties": {"a": 5}}, {"x": float("nan")}, {"x": {1, 2}}],
)
def test_a_schema_that_lies_is_refused(schema: Any) -> None:
    with pytest.raises(ValueError, match="parameters"):
        checked_parameters(schema)


def test_a_schema_is_bounded_and_has_a_type() -> None:
    with pytest.raises(ValueError, match="characters"):
        checked_parameters({"description": "x" * 50_000})
    endless: dict[str, Any] = {}
    endless["properties"] = {"a": endless}
    with pytest.raises(ValueError, match="not JSON"):
        checked_parameters(endless)
    assert checked_parameters({"properties": {"a": True}}) == {"type": "object", "properties": {"a": {}}}
    assert checked_parameters(None)["type"] == "object"


def test_names_are_what_templates_take() -> None:
    assert tool_name("read file/../x <b>") == "read_file_x_b"
    assert tool_name("…") == "tool" and len(tool_name("x" * 300)) == 64
