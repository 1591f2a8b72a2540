"""LM Studio's conversation files as they look: versions, steps, reasoning, tools and files."""

from __future__ import annotations

from typing import Any

from tests.chat.import_formats.reading import kinds, read_one, shown


def _block(text: str, **more: Any) -> dict[str, Any]:
    content = [{"type": "text", "text": text, "fromDraftModel": False, "tokensCount": 3, "isStructural": False}]
    facts = {"type": "contentBlock", "stepIdentifier": "1-2", "defaultShouldIncludeInContext": True}
    return {**facts, "content": content, "shouldIncludeInContext": True, **more}


def _tools() -> list[dict[str, Any]]:
    request = {
        "type": "toolCallRequest",
        "callId": 0,
        "toolCallRequestId": "t1",
        "name": "look",
        "parameters": {"bird": "heron"},
    }
    result = {"type": "toolCallResult", "content": "2 legs", "toolCallRequestId": "t1"}
    return [_block("", content=[request]), {"type": "toolStatus", "callId": 0}, _block("", content=[result])]


def _conversation() -> dict[str, Any]:
    question = [{"type": "text", "text": "Legs?"}, {"type": "file", "fileIdentifier": "17.png", "fileType": "image"}]
    steps = [
        _block("Hm.", style={"type": "thinking", "ended": True, "title": "Thought for 2 seconds"}),
        *_tools(),
        _block("Two.", genInfo={"indexedModelIdentifier": "m", "stats": {"tokensPerSecond": 9}}),
        {"type": "debugInfoBlock", "stepIdentifier": "x", "debugInfo": "Conversation naming"},
    ]
    versions = [
        {"type": "multiStep", "role": "assistant", "senderInfo": {"senderName": "m"}, "steps": [_block("Three.")]},
        {"type": "multiStep", "role": "assistant", "senderInfo": {"senderName": "m"}, "steps": steps},
    ]
    return {
        "name": "Birds",
        "pinned": False,
        "createdAt": 1751364030000,
        "preset": "",
        "tokenCount": 20,
        "systemPrompt": "Be brief.",
        "messages": [
            {"versions": [{"type": "singleStep", "role": "user", "content": question}], "currentlySelected": 0},
            {"versions": versions, "currentlySelected": 1},
        ],
        "usePerChatPredictionConfig": True,
        "perChatPredictionConfig": {"fields": []},
        "clientInput": "",
        "notes": [],
    }


def test_versions_steps_and_the_system_prompt_are_read() -> None:
    chat = read_one(_conversation())
    assert (chat.title, chat.settings, chat.messages[0]["created"]) == ("Birds", {"system": "Be brief."}, 1751364030.0)
    assert shown(chat) == [
        ("user", [("text", "[17.png]\n\n"), ("text", "Legs?")]),
        (
            "assistant",
            [
                ("reasoning", "Hm."),
                ("tool_call", '{"bird": "heron"}'),
                ("tool_result", "2 legs"),
                ("text", "Two."),
            ],
        ),
    ]
    assert kinds(chat.messages[1]) == [("text", "Three.")]
