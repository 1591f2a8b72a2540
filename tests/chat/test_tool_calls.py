"""Tool calls are found in every notation, in whole replies and in streamed ones, wherever those are cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from modules.chat.tool_call_parser import ToolCall, ToolCallParser
from modules.chat.tool_formats import FORMATS, GENERIC, ToolFormat, find_tool_format, takes_tools

SCHEMAS: dict[str, dict[str, Any]] = {
    "weather": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "exact": {"type": "boolean"}},
    },
    "now": {},
}
PARIS = ("weather", {"city": "Paris, <b>", "days": 3})
NOW: tuple[str, dict[str, Any]] = ("now", {})
_CITY = '"city": "Paris, <b>", "days": 3'
_LONG = 'I will look.\n\n<tool_call>\n{"name": "weather", "arguments": {"city": "Paris, <b>", "days": 3}}\n</tool_call>'
_CODER = (
    "<tool_call>\n<function=weather>\n<parameter=city>\nParis, <b>\n</parameter>\n<parameter=days>\n3\n</parameter>\n"
    "</function>\n</tool_call>"
)
_GLM = (
    "<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Paris, <b></arg_value>\n<arg_key>days</arg_key>\n"
    "<arg_value>3</arg_value>\n</tool_call>\n<tool_call>now</tool_call>"
)
_V3 = (
    "Fine.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{CITY}\n```<｜tool▁call▁end｜>\n"
    "<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
)
_V31 = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>weather<｜tool▁sep｜>{CITY}<｜tool▁call▁end｜><｜tool▁calls▁end｜>"
_HARMONY = "<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{CITY}"
_PREAMBLE = "<|channel|>commentary<|message|>I will look.<|end|><|start|>assistant"
_GEMMA = 'call:weather{city:<|"|>Paris, <b><|"|>,days:3}'

_CASES: list[tuple[str, str, str, list[tuple[str, Any]]]] = [
    ("<tool_call>", _LONG, "I will look.", [PARIS]),
    ("<tool_call>", f"{_LONG}\n{_CODER}", "I will look.", [PARIS, PARIS]),
    ("<tool_call>", _CODER.replace("<tool_call>\n", "").replace("\n</tool_call>", ""), "", [PARIS]),
    ("<tool_call>", f"Yes.{_GLM}", "Yes.", [PARIS, NOW]),
    ("<tool_call>", '<tool_call>{"name": "now", "arguments": "{}"}', "", [NOW]),
    # As grammars write it that allow white space.
    ("", '[ {"name" : "weather", "arguments" : {CITY} }, { "name": "now", "arguments": {} } ] ', "", [PARIS, NOW]),
    (
        "<|python_tag|>",
        '{"name": "weather", "parameters": {CITY}}; {"name": "now", "parameters": {}}',
        "",
        [PARIS, NOW],
    ),
    ("<|python_tag|>", '<|python_tag|>{"name": "weather", "parameters": {CITY}}', "", [PARIS]),
    ("<|python_tag|>", '<|python_tag|>weather.call(city="Paris, <b>", days=3)', "", [PARIS]),
    ("[TOOL_CALLS]", '[TOOL_CALLS][{"name": "weather", "arguments": {CITY}, "id": "123456789"}]', "", [PARIS]),
    (
        "[TOOL_CALLS]",
        "One moment.[TOOL_CALLS]weather[ARGS]{CITY}[TOOL_CALLS]now[CALL_ID]1[ARGS]{}",
        "One moment.",
        [PARIS, NOW],
    ),
    (
        "<|START_ACTION|>",
        '<|START_ACTION|>[\n{"tool_call_id": "0", "tool_name": "weather", "parameters": {CITY}}\n]<|END_ACTION|>',
        "",
        [PARIS],
    ),
    ("'Action:'", 'Plan.\nAction: ```json\n[{"tool_name": "weather", "parameters": {CITY}}]\n```', "Plan.", [PARIS]),
    ("<｜tool▁call▁begin｜>", _V3, "Fine.", [PARIS, NOW]),
    ("<｜tool▁call▁begin｜>", _V31, "", [PARIS]),
    ("<|channel|>commentary", _HARMONY, "", [PARIS]),
    ("<|channel|>commentary", f"{_PREAMBLE}{_HARMONY}<|call|>", "I will look.", [PARIS]),
    ("<|channel|>commentary", " to=functions.now<|channel|>commentary json<|message|>{}", "", [NOW]),
    ("<|channel|>commentary", "<|channel|>final<|message|>It rains.", "It rains.", []),
    ("<|tool_call>", f"Sure.\n<|tool_call>{_GEMMA}<tool_call|>", "Sure.", [PARIS]),
    (
        "<|tool_call>",
        f"<start_function_call>{_GEMMA.replace('<|' + chr(34) + '|>', '<escape>')}<end_function_call>",
        "",
        [PARIS],
    ),
    ("<|tool_call>", '```tool_code\nweather("Paris, <b>", days=3)\n```', "", [PARIS]),
    ("<|tool_call|>", '<|tool_call|>[{"name": "weather", "arguments": {CITY}}]', "", [PARIS]),
    ("", '```json\n{"name": "weather", "arguments": {CITY}}\n```', "", [PARIS]),
    ("", '{"name": "weather", "arguments": {CITY}}', "", [PARIS]),
    # What is no call stays text, to the last character.
    ("", '{"name": "Ada", "arguments": 3}', '{"name": "Ada", "arguments": 3}', []),
    ("", '{"name": "someone", "arguments": {}}', '{"name": "someone", "arguments": {}}', []),
    ("", "Use <tool_call> for tools, a < b, {x}\n", "Use <tool_call> for tools, a < b, {x}\n", []),
    ("", "Look: \n<tool_call>\n{broken</tool_call> and on ", "Look: \n<tool_call>\n{broken</tool_call> and on ", []),
    ("[TOOL_CALLS]", "x [TOOL_CALLS]not[ARGS]json", "x [TOOL_CALLS]not[ARGS]json", []),
    ("<|python_tag|>", "<|python_tag|>print(open('x').read())", "<|python_tag|>print(open('x').read())", []),
    ("", "  ", "  ", []),
]
CASES = [(sign, reply.replace("{CITY}", f"{{{_CITY}}}"), text, calls) for sign, reply, text, calls in _CASES]


def join_texts(parts: Sequence[str | ToolCall]) -> tuple[str, list[ToolCall]]:
    """Return (the text, the calls) of the parts of a reply."""
    texts = [part for part in parts if isinstance(part, str)]
    return "".join(texts), [part for part in parts if isinstance(part, ToolCall)]


def _split(form: ToolFormat, pieces: list[str]) -> tuple[str, list[tuple[str, Any]], list[str]]:
    parser = ToolCallParser(form, SCHEMAS)
    parts = [part for piece in pieces for part in parser.feed(piece)]
    streamed = "".join(part for part in parts if isinstance(part, str))
    text, calls = join_texts([*parts, *parser.flush()])
    assert parser.called == bool(calls)
    return text, [(call.name, json.loads(call.arguments)) for call in calls], [streamed]


@pytest.mark.parametrize(("sign", "reply", "text", "calls"), CASES)
def test_calls_are_found_wherever_a_reply_is_cut(sign: str, reply: str, text: str, calls: list[Any]) -> None:
    form = find_tool_format(f"{{{{ tools }}}} {sign}")
    assert _split(form, [reply])[:2] == (text, calls)
    assert _split(form, list(reply))[:2] == (text, calls)
    for place in range(len(reply)):
        assert _split(form, [reply[:place], reply[place:]])[:2] == (text, calls), reply[:place]


@pytest.mark.parametrize(("sign", "reply", "text", "calls"), [case for case in CASES if case[3]])
def test_no_part_of_a_call_is_streamed_as_text(sign: str, reply: str, text: str, calls: list[Any]) -> None:
    for place in range(len(reply)):
        streamed = _split(find_tool_format(f"{{{{ tools }}}} {sign}"), [reply[:place]])[2][0]
        assert text.startswith(streamed), reply[:place]


def test_text_is_streamed_at_once() -> None:
    parser = ToolCallParser(GENERIC, SCHEMAS)
    assert parser.feed("Good") == ["Good"]
    assert parser.feed(" day <") == [" day"]
    assert parser.feed("b>") == [" <b>"]


def test_every_call_has_its_own_id_of_nine_characters() -> None:
    parser = ToolCallParser(GENERIC, SCHEMAS)
    calls = [part for part in parser.feed(f"{_LONG}{_LONG}") if isinstance(part, ToolCall)]
    assert len({call.id for call in calls}) == 2
    assert all(len(call.id) == 9 and call.id.isalnum() for call in calls)


def test_each_format_is_recognized_by_its_own_signs() -> None:
    for form in FORMATS:
        for sign in form.signs:
            assert find_tool_format(f"{{% if tools %}}{sign}").name == form.name
    assert find_tool_format("{{ messages }}") is GENERIC
    assert takes_tools("{% if tools is not none %}")
    assert not takes_tools("{{ toolset }}")


def test_hostile_replies_end() -> None:
    for reply in ("[" * 50_000, '{"a":' * 50_000, "<tool_call>" + "[" * 50_000, "```tool_code\n" + "f(" * 4_000):
        for form in (GENERIC, *FORMATS):
            parser = ToolCallParser(form, SCHEMAS)
            assert join_texts([*parser.feed(reply), *parser.flush()]) == (reply, [])
