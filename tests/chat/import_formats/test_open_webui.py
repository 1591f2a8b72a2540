"""Open WebUI's export as it looks: reasoning and tools as HTML, files, sources, branches."""

from __future__ import annotations

import base64
import html
import json
import time
from pathlib import Path
from typing import Any

import pytest

from modules.chat.import_formats.open_webui import read_openwebui
from modules.chat.store import ChatStore
from tests.chat.import_formats.reading import NOW, all_texts, kinds, read_one, shown
from tests.support.pictures import RED, png
from tests.support.sounds import mp3, tone

PICTURE = png(RED, 2, 2)
REASONING = (
    '<details type="reasoning" done="true" duration="5">\n<summary>Thought for 5 seconds</summary>\n'
    "&gt; They want &lt;b&gt; legs.\n&gt; Two.\n</details>\n"
)


def _call(name: str, arguments: dict[str, Any], result: str) -> str:
    given, returned = html.escape(json.dumps(json.dumps(arguments))), html.escape(json.dumps(result))
    return (
        f'<details type="tool_calls" done="true" id="call_1" name="{name}" arguments="{given}" result="{returned}" '
        'files="" embeds="">\n<summary>Tool Executed</summary>\n</details>\n'
    )


def _chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    listed = {
        str(n): {"id": str(n), "parentId": str(n - 1) if n else None, "childrenIds": [], "timestamp": 1765672231, **one}
        for n, one in enumerate(messages)
    }
    history = {"messages": listed, "currentId": str(len(messages) - 1)}
    chat = {"id": "", "title": "Birds", "models": ["llama3:8b"], "params": {}, "history": history, "messages": [],
            "tags": [], "timestamp": 1765672231000, "files": [], **more}  # fmt: skip
    return {
        "id": "c1", "user_id": "u", "title": "Birds", "chat": chat, "updated_at": 1765672231, "created_at": 1765672231,
        "share_id": None, "archived": False, "pinned": False, "meta": {"tags": ["birds"]}, "folder_id": None,
    }  # fmt: skip


def _reply(content: str, **more: Any) -> dict[str, Any]:
    facts = {"model": "llama3:8b", "modelName": "Llama", "modelIdx": 0, "done": True, "usage": {"total_tokens": 9}}
    return {"role": "assistant", "content": content, **facts, **more}


QUESTION = {"role": "user", "content": "How many legs?", "models": ["llama3:8b"]}


def test_reasoning_and_tools_become_parts() -> None:
    content = (
        f"{REASONING}Let me see.\n{_call('look', {'bird': 'heron'}, 'legs: 2')}"
        '<details type="code_interpreter" done="true" output="&quot;2&quot;">\n<summary>Analyzed</summary>\n'
        "```python\nprint(1 &lt; 2)\n```\n</details>\n\nTwo **legs**."
    )
    chat = read_one([_chat(QUESTION, _reply(content))])
    assert shown(chat)[1] == (
        "assistant",
        [
            ("reasoning", "They want <b> legs.\nTwo."),
            ("text", "Let me see.\n"),
            ("tool_call", '{"bird": "heron"}'),
            ("tool_result", "legs: 2"),
            ("tool_call", '{"code": "print(1 < 2)"}'),
            ("tool_result", "2"),
            ("text", "Two **legs**."),
        ],
    )
    parts = chat.messages[1]["parts"]
    assert parts[0]["meta"]["seconds"] == 5.0
    assert (parts[2]["meta"]["name"], parts[4]["meta"]["name"]) == ("look", "code_interpreter")


def test_other_html_and_a_block_without_an_end_stay_text() -> None:
    for content in ("<details><summary>More</summary>Yes</details>", '<details type="reasoning">\nnever ends'):
        assert shown(read_one([_chat(QUESTION, _reply(content))]))[1] == ("assistant", [("text", content)])


def test_files_with_content_are_attached_and_the_others_are_named() -> None:
    address = f"data:image/png;base64,{base64.b64encode(PICTURE).decode()}"
    stored = {"id": "f", "filename": "plan.pdf", "data": {"content": "Build a nest."}, "meta": {"name": "plan.pdf"}}
    files = [
        {"type": "image", "url": address},
        {"type": "file", "file": stored, "id": "f", "url": "/api/v1/files/f", "name": "plan.pdf", "status": "uploaded"},
        {"type": "collection", "name": "Notes", "id": "k"},
    ]
    chat = read_one([_chat({**QUESTION, "files": files}, _reply("Two."))])
    assert kinds(chat.messages[0]) == [
        ("image", "image"),
        ("document", "plan.pdf"),
        ("text", "[Notes]\n\n"),
        ("text", "How many legs?"),
    ]
    assert [file["data"] for file in chat.files.values()] == [PICTURE, b"Build a nest."]


@pytest.mark.parametrize(("mime", "data"), [("audio/wav", tone(seconds=0.1)), ("audio/mpeg", mp3(tag=b"x"))])
def test_a_sound_with_content_is_attached_as_a_sound(mime: str, data: bytes) -> None:
    address = f"data:{mime};base64,{base64.b64encode(data).decode()}"
    file = {"type": "file", "name": "heron", "url": address}
    chat = read_one([_chat({**QUESTION, "files": [file]}, _reply("A heron."))])
    assert kinds(chat.messages[0]) == [("audio", "heron"), ("text", "How many legs?")]
    assert [file["data"] for file in chat.files.values()] == [data]


def test_numbers_of_sources_on_the_web_become_links() -> None:
    sources = [
        {"source": {"name": "search"}, "document": ["a", "b"],
         "metadata": [{"source": "https://a.example/x"}, {"source": "https://b.example"}]},
        {"source": {"id": "f", "name": "plan.pdf"}, "document": ["c"], "metadata": [{"source": "plan.pdf"}]},
    ]  # fmt: skip
    chat = read_one([_chat(QUESTION, _reply("Two [1], or three [3].", sources=sources))])
    assert shown(chat)[1] == ("assistant", [("text", "Two [1], or three [3].\n\n[1]: <https://a.example/x>")])


def test_a_list_of_messages_is_read_where_there_is_no_tree() -> None:
    entry = _chat()
    entry["chat"]["history"] = {"messages": {}, "currentId": None}
    entry["chat"]["messages"] = [QUESTION, _reply("Two.")]
    assert [parts for _, parts in shown(read_one(entry))] == [[("text", "How many legs?")], [("text", "Two.")]]


def _asked(*ids: str, **more: Any) -> dict[str, Any]:
    """Return a message of OpenAI's form that calls a tool for each of these ids. An empty one is left out."""
    function = {"name": "look", "arguments": "{}"}
    calls = [{**({"id": id} if id else {}), "type": "function", "function": function} for id in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def test_reasoning_before_calls_of_tools_is_kept() -> None:
    for name in ("reasoning_content", "reasoning"):
        result = {"role": "tool", "tool_call_id": "c1", "content": "2 legs"}
        messages = [QUESTION, _asked("c1", **{name: "Hm."}), result, {"role": "assistant", "content": "Two."}]
        assert shown(read_one(messages))[1] == (
            "assistant",
            [("reasoning", "Hm."), ("tool_call", "{}"), ("tool_result", "2 legs"), ("text", "Two.")],
        )


def test_a_result_between_the_marks_of_a_call_is_kept() -> None:
    returned = html.escape(json.dumps({"legs": 2}))
    given = html.escape(json.dumps({"bird": "heron"}))
    call = f'<details type="tool_calls" done="true" id="call_1" name="look" arguments="{given}">\n'
    reply = _reply(f"{call}<summary>Tool Executed</summary>\n{returned}\n</details>\nTwo.")
    assert shown(read_one([_chat(QUESTION, reply)]))[1] == (
        "assistant",
        [("tool_call", '{"bird": "heron"}'), ("tool_result", '{"legs": 2}'), ("text", "Two.")],
    )


def test_a_chat_without_a_last_message_shows_its_last_branch(tmp_path: Path) -> None:
    store = ChatStore(tmp_path / "chats.sqlite")
    chat = _chat(QUESTION, _reply("One."), _reply("Two."))
    chat["chat"]["history"]["messages"]["2"]["parentId"] = "0"
    for current in (None, "gone"):
        chat["chat"]["history"]["currentId"] = current
        read = read_one([chat])
        made = store.add_tree(read.messages, read.title, "")
        assert [message.text for message in store.path(made.id)][1:] == ["Two."]


def test_calls_without_an_id_each_have_their_result() -> None:
    results = [{"role": "tool", "content": text} for text in ("2 legs", "2 wings")]
    messages = [QUESTION, _asked("", ""), *results, {"role": "assistant", "content": "Two."}]
    chat = read_one(messages)
    assert [text for kind, text in kinds(chat.messages[1]) if kind == "tool_result"] == ["2 legs", "2 wings"]
    calls, found = (
        [part["meta"]["id"] for part in chat.messages[1]["parts"] if part["kind"] == kind]
        for kind in ("tool_call", "tool_result")
    )
    assert calls == found and len(set(calls)) == 2


@pytest.mark.parametrize("before", [[], [_asked("c1")]])
def test_a_result_whose_call_is_missing_is_kept(before: list[dict[str, Any]]) -> None:
    result = {"role": "tool", "tool_call_id": "gone", "name": "look", "content": "2 legs"}
    chat = read_one([QUESTION, *before, result, {"role": "assistant", "content": "Two."}])
    assert [kind for kind, _ in shown(chat)[1][1]] == ["tool_call", "tool_result", "text"]
    assert "2 legs" in all_texts(chat)


class _Searched(str):
    """A text that counts how often something was searched in it."""

    searches = 0

    def __contains__(self, part: object) -> bool:
        self.searches += 1
        return super().__contains__(str(part))


def test_a_reply_is_not_searched_for_each_of_its_sources() -> None:
    text = _Searched("Two [1].")
    metadata = [{"source": f"https://{n}.example"} for n in range(1000)]
    chat = read_openwebui(_chat(QUESTION, _reply(text, sources=[{"source": {}, "metadata": metadata}])), NOW)
    assert shown(chat)[1] == ("assistant", [("text", "Two [1].\n\n[1]: <https://0.example>")])
    assert text.searches < 10


def test_hostile_blocks_are_read_in_a_moment() -> None:
    begun = time.monotonic()
    for content in (
        '<details type="reasoning">' * 40_000,
        '<details type="reasoning" ' * 40_000,
        f'<details type="tool_calls" {"a" * 400_000}></details>',
        "<summary>" * 100_000,
    ):
        read_one([_chat(QUESTION, _reply(content))])
    assert time.monotonic() - begun < 20


def test_the_merged_answer_of_several_models_is_kept() -> None:
    merged = {"merged": {"status": True, "content": "Both say two."}}
    asked = {"role": "user", "content": "How many legs?"}
    alone = read_one(_chat(asked, {"role": "assistant", "content": "", **merged}, {"role": "user", "content": "Yes"}))
    assert [kinds(entry)[-1][1] for entry in alone.messages] == ["How many legs?", "Both say two.", "Yes"]
    beside = read_one(_chat(asked, {"role": "assistant", "content": "Two.", **merged}))
    assert shown(beside)[-1] == ("assistant", [("text", "Two.")]) and "Both say two." in all_texts(beside)


def test_what_a_chat_has_beside_its_messages_is_kept() -> None:
    entry = _chat({"role": "user", "content": "Hi"}, params={"system": "Be brief."})
    about = {"pinned": True, "archived": True, "meta": {"tags": ["birds"]}, "created_at": 1765672200}
    chat = read_one({**entry, **about})
    assert (chat.pinned, chat.archived, chat.tags, chat.created) == (True, True, ("birds",), 1765672200.0)
    assert chat.settings == {"system": "Be brief."}
    inner = read_one(entry["chat"])
    assert inner.title == "Birds" and all_texts(inner) == "Hi"
