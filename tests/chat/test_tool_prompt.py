"""Tools, calls and results reach a chat template in the form that it reads."""

from __future__ import annotations

from typing import Any

from modules.chat.tool_prompt import prepare_messages

TOOLS = [{"type": "function", "function": {"name": "now", "description": "", "parameters": {}}}]
CALL = {"id": "1", "type": "function", "function": {"name": "now", "arguments": '{"zone": "UTC"}'}}
CHAT: list[dict[str, Any]] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Time?"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "noon", "tool_call_id": "1"},
]


def test_a_template_that_reads_tools_gets_them_and_calls_as_objects() -> None:
    messages, variables = prepare_messages(CHAT, TOOLS, "{{ tools }}{{ call.arguments | tojson }}")
    assert variables == {"tools": TOOLS}
    assert messages[:2] == CHAT[:2]
    assert messages[2]["tool_calls"][0]["function"] == {"name": "now", "arguments": {"zone": "UTC"}}
    assert messages[3] == {"role": "tool", "content": "noon", "tool_call_id": "1", "name": "now"}


def test_a_template_that_joins_arguments_gets_text() -> None:
    # As in DeepSeek's.
    template = "{{ tools }}{{ '```json\\n' + tool['function']['arguments'] + '\\n```' }}"
    assert prepare_messages(CHAT, TOOLS, template)[0][2]["tool_calls"] == [CALL]


def test_a_template_without_tools_gets_text() -> None:
    messages, variables = prepare_messages(CHAT, TOOLS, "{{ messages }}")
    assert variables == {}
    assert messages[0]["content"].startswith("Be kind.\n\nYou can call the functions")
    assert messages[0]["content"].endswith('{"name": "now", "description": "", "parameters": {}}')
    assert messages[2] == {
        "role": "assistant",
        "content": '<tool_call>\n{"name": "now", "arguments": {"zone": "UTC"}}\n</tool_call>',
    }
    assert messages[3] == {"role": "user", "content": "<tool_response>\nnoon\n</tool_response>"}
    assert prepare_messages(CHAT[1:2], TOOLS, "")[0][0]["role"] == "system"
    assert prepare_messages(CHAT[:2], [], "") == (CHAT[:2], {})
