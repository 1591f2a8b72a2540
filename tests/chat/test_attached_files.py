"""Files in messages: what the model gets of them, and that no button, restart or export loses them."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from modules.chat.attached_files import format_problem
from modules.chat.attachments.attachment_store import DRAFT_SECONDS
from modules.chat.chat_files import write_html, write_markdown
from modules.chat.hook_state import keep_files, messages_from_pairs
from modules.chat.messages import Message, NotSaved
from modules.chat.parts import AUDIO, DOCUMENT, IMAGE, TEXT, Part, from_json, raw_text, visible_text, with_text
from modules.chat.prompt import message_turns
from modules.protocol.errors import PaddockError
from modules.protocol.events import ModelInfo
from modules.protocol.sampling import SamplingParams
from tests.chat.attachments.test_attachment_store import picture
from tests.chat.conftest import OPTIONS, Room
from tests.support.sounds import HIGH, mp3, tone

NOTES = b"The heron stands in the water.\nIt waits for fish."
FEW = SamplingParams(max_new_tokens=20)


def attach(room: Room, data: bytes = NOTES, name: str = "notes.txt") -> tuple[Part, ...]:
    """Return the part of a file that was attached."""
    return room.service.files.parts([(room.service.attachments.add(data, name).hash, name)])


def send(room: Room, text: str, *files: Part, chat: str = "") -> tuple[str, list[Message]]:
    """Send a message with files and return its chat, with the messages after the reply."""
    chat = chat or room.service.create().id
    room.service.send(chat, text, FEW, OPTIONS, files)
    return chat, room.settle(chat)


def prompts(room: Room, path: list[Message], system: str = "", new_tokens: int = 20) -> tuple[list[str], list[str]]:
    """Return the texts of a prompt's messages, and the notes."""
    info = room.supervisor.state.info
    messages, notes = room.service.files.prepare(system, path, info.context if info else 0, new_tokens)
    return [message.text for message in messages], notes


def words(count: int, word: str = "grass") -> str:
    """Return a text of so many words, in lines."""
    return "\n".join(f"{word} {number}" for number in range(count // 2))


def test_a_document_goes_into_the_prompt_before_the_question(room: Room) -> None:
    chat, messages = send(room, "What waits?", *attach(room))
    assert [part.kind for part in messages[0].parts] == [DOCUMENT, TEXT]
    assert (messages[0].text, messages[0].raw) == ("What waits?", "What waits?")
    texts, _ = prompts(room, messages[:1])
    assert texts == [f"Document notes.txt:\n\n{NOTES.decode()}\n\n(end of notes.txt)\n\nWhat waits?"]
    assert messages[1].meta["notes"] == ["The model read notes.txt whole."]
    # It stays in its place for later questions.
    _, messages = send(room, "And why?", chat=chat)
    assert prompts(room, messages[:3])[0][0].startswith("Document notes.txt:")
    assert messages[3].meta["notes"] == ["The model read notes.txt whole."]


def test_a_chat_of_another_program_may_have_files_and_no_question(room: Room) -> None:
    _, messages = send(room, "What waits?", *attach(room))
    texts, notes = prompts(room, [replace(messages[0], role="assistant")])
    assert texts[0].startswith("Document notes.txt:") and notes == ["The model read notes.txt whole."]


def test_a_file_needs_no_text_beside_it(room: Room) -> None:
    chat, messages = send(room, "", *attach(room))
    assert messages[1].text == "(end of notes.txt)", "the echo of the prompt's last line"
    assert room.service.head(chat).title == "notes.txt"
    with pytest.raises(NotSaved, match="nothing to send"):
        send(room, " ", chat=chat)


def test_a_document_that_is_too_long_gives_its_best_passages(empty: Room) -> None:
    empty.load(context=400)
    long = f"{words(2000)}\nThe heron of Lake Sempach eats perch.\n{words(2000)}".encode()
    _, messages = send(empty, "What does the heron eat?", *attach(empty, long, "lake.txt"))
    (text,), (note,) = prompts(empty, messages[:1])
    assert "eats perch" in text and len(text.split()) < 380
    assert "(Attached: lake.txt)" in text and text.endswith("\n\nWhat does the heron eat?")
    assert note.startswith("lake.txt does not fit into the context whole. The model read ")
    assert "passages: those that match the question best." in note
    assert messages[1].meta["notes"] == [note]
    assert messages[1].text == "What does the heron eat?"


def test_a_question_that_shares_no_word_gets_the_beginning(empty: Room) -> None:
    empty.load(context=400)
    long = f"Opening words.\n{words(3000)}".encode()
    _, messages = send(empty, "Summary, please!", *attach(empty, long, "long.txt"))
    (text,), (note,) = prompts(empty, messages[:1])
    assert "Opening words." in text
    assert "No passage matches the question, so the model read the first" in note


def test_the_newest_document_is_whole_and_the_older_one_in_passages(empty: Room) -> None:
    empty.load(context=600)
    old = attach(empty, words(500).encode(), "old.txt")
    chat, _ = send(empty, "One?", *old)
    new = attach(empty, words(150, "stone").encode(), "new.txt")
    _, messages = send(empty, "Where is grass 7?", *new, chat=chat)
    texts, notes = prompts(empty, messages[:3])
    assert notes[0] == "The model read new.txt whole." and notes[1].startswith("old.txt does not fit")
    assert texts[0] == "(Attached: old.txt)\n\nOne?" and "stone 70" in texts[2] and "grass 7\n" in texts[2]
    assert sum(len(text.split()) for text in texts) < 580
    assert not messages[3].meta.get("left_out")


def test_a_long_history_does_not_push_the_question_out(empty: Room) -> None:
    empty.load(context=400)
    chat, _ = send(empty, words(300), *attach(empty, words(5000, "fish").encode(), "sea.txt"))
    _, messages = send(empty, "Is fish 9 here?", chat=chat)
    assert messages[3].text == "Is fish 9 here?"
    assert messages[3].meta["left_out"] == 2 and not messages[3].meta.get("cut_tokens")


def test_an_unknown_context_gets_all(room: Room) -> None:
    parts = attach(room, words(9000).encode(), "all.txt")
    path = [Message("1", None, "user", (*parts, Part(TEXT, "?")), 0.0)]
    messages, notes = room.service.files.prepare("", path, 0, 20)
    assert "grass 4499" in messages[0].text and notes == ["The model read all.txt whole."]


def test_facts_are_exact_with_a_model_and_else_estimated(empty: Room) -> None:
    hash = empty.service.attachments.add(NOTES, "notes.txt").hash
    facts = empty.service.files.facts(hash, "notes.txt")
    assert (facts.kind, facts.exact) == ("text", False)
    assert attach(empty)[0].meta["estimated"] is True
    empty.load()
    facts = empty.service.files.facts(hash, "notes.txt")
    assert (facts.tokens, facts.exact) == (len(NOTES.split()), True)
    assert attach(empty)[0].meta == {
        "hash": hash,
        "mime": "text/plain",
        "size": len(NOTES),
        "tokens": facts.tokens,
        "estimated": False,
    }


def test_an_image_reaches_a_model_that_sees_it(empty: Room) -> None:
    empty.load(sees_images=True)
    image = attach(empty, picture(), "green.png")
    path = [Message("1", None, "user", (*image, Part(TEXT, "What?")), 0.0)]
    messages, notes = empty.service.files.prepare("", path, 400, 20)
    with Image.open(messages[0].parts[0].meta["path"]) as shown:
        assert shown.size == (4, 3) and not notes
    assert messages[0].text == "What?"


def test_a_model_that_cannot_see_refuses_an_image_before_it_is_sent(room: Room) -> None:
    image = attach(room, picture(), "green.png")
    chat = room.service.create().id
    with pytest.raises(NotSaved, match=r"a-model cannot see images\. Remove green\.png"):
        send(room, "What?", *image, chat=chat)
    assert room.service.messages(chat) == []
    # Another model may have been loaded when it was sent.
    path = [Message("1", None, "user", (*image, Part(TEXT, "What?")), 0.0)]
    messages, notes = room.service.files.prepare("", path, 400, 20)
    assert [part.kind for part in messages[0].parts] == [TEXT]
    assert notes == ["a-model cannot see images, so it did not get green.png. Load a model that can."]


def test_a_sound_reaches_a_model_that_hears_it(empty: Room) -> None:
    empty.load(hears=True)
    sound = attach(empty, tone(HIGH), "a.wav")
    assert (sound[0].kind, sound[0].meta["mime"], sound[0].meta["seconds"]) == (AUDIO, "audio/wav", 1.0)
    path = [Message("1", None, "user", (*sound, Part(TEXT, "What?")), 0.0)]
    messages, notes = empty.service.files.prepare("", path, 400, 20)
    assert messages[0].parts[0].meta["path"].endswith(".wav") and not notes
    (turn,) = message_turns(messages[0])
    assert [part["type"] for part in turn["content"]] == ["audio", "text"]
    _, replied = send(empty, "What?", *sound)
    assert replied[1].text == "What?"


def test_a_model_that_cannot_hear_refuses_a_sound_before_it_is_sent(room: Room) -> None:
    files = (*attach(room, tone(), "a.wav"), *attach(room, mp3(), "b.mp3"))
    chat = room.service.create().id
    with pytest.raises(NotSaved, match=r"a-model cannot hear sound\. Remove a\.wav and b\.mp3, or load"):
        send(room, "What?", *files, chat=chat)
    assert room.service.messages(chat) == []
    path = [Message("1", None, "user", (*files, Part(TEXT, "What?")), 0.0)]
    messages, notes = room.service.files.prepare("", path, 400, 20)
    assert [part.kind for part in messages[0].parts] == [TEXT]
    assert notes == ["a-model cannot hear sound, so it did not get a.wav and b.mp3. Load a model that can."]


def test_a_model_that_hears_only_wav_says_so(room: Room) -> None:
    (part,) = attach(room, mp3(), "b.mp3")
    problem = format_problem(part, ModelInfo(100, audio_formats=["wav"]), "a-model")
    assert problem.startswith("a-model takes sound as WAV, not as MP3.")
    assert not format_problem(part, ModelInfo(100, audio_formats=["wav", "mp3"]), "a-model")


def test_a_sound_stays_in_an_export_and_comes_back_with_an_import(empty: Room) -> None:
    empty.load(hears=True)
    chat, _ = send(empty, "What?", *attach(empty, tone(HIGH), "a.wav"))
    data = json.loads(json.dumps(empty.service.export(chat)))
    hash = empty.service.messages(chat)[0].parts[0].meta["hash"]
    empty.service.attachments.path(hash).unlink()
    copy = empty.service.import_chat(data)
    (part, _) = empty.service.messages(copy.id)[0].parts
    assert (part.kind, part.text, part.meta["seconds"]) == (AUDIO, "a.wav", 1.0)
    os.utime(empty.service.attachments.path(hash), (0, 0))
    empty.service.remove_unused_files()
    assert empty.service.attachments.read(hash, "a.wav") == tone(HIGH)


def test_edit_versions_branch_and_regenerate_keep_the_files(room: Room) -> None:
    chat, messages = send(room, "One?", *attach(room))
    edited = room.service.edit(chat, messages[0].id, "Two?")
    room.service.regenerate(chat, edited, FEW, OPTIONS)
    messages = room.settle(chat)
    assert [part.kind for part in messages[0].parts] == [DOCUMENT, TEXT] and messages[0].text == "Two?"
    assert messages[1].meta["notes"] == ["The model read notes.txt whole."]
    room.service.switch(chat, messages[0].id, 1)
    assert room.service.messages(chat)[0].parts[0].text == "notes.txt"
    new = room.service.branch(chat, room.service.messages(chat)[-1].id)
    assert room.service.messages(new.id)[0].parts == room.service.messages(chat)[0].parts
    room.service.continue_reply(chat, FEW, OPTIONS)
    assert room.settle(chat)[-1].meta["notes"] == ["The model read notes.txt whole."]


def test_an_edit_adds_and_removes_files_in_a_new_version(room: Room) -> None:
    chat, path = send(room, "What waits?", *attach(room))
    other = attach(room, b"The stork flies south.", "stork.txt")
    service = room.service
    new = service.edit(chat, path[0].id, "What waits?", (*other,))
    shown = service.messages(chat)
    assert [message.id for message in shown] == [new]
    assert [part.text for part in shown[0].parts if part.kind == DOCUMENT] == ["stork.txt"]
    assert service.edit(chat, new, "What waits?", other) == new, "nothing changed"
    bare = service.edit(chat, new, "What flies?", ())
    assert [part.kind for part in service.messages(chat)[0].parts] == [TEXT]
    service.switch(chat, bare, 1)
    assert [part.text for part in service.messages(chat)[0].parts if part.kind == DOCUMENT] == ["notes.txt"]


def test_files_survive_a_restart_and_stay_while_a_message_names_them(room: Room) -> None:
    chat, messages = send(room, "One?", *attach(room))
    unused = room.service.attachments.add(b"never sent", "unused.txt")
    for path in room.service.attachments.folder.iterdir():
        before = path.stat().st_mtime - DRAFT_SECONDS - 60
        os.utime(path, (before, before))
    room.service.delete(chat, messages[0].id)
    room.service.close()
    service = room.open()
    service.remove_unused_files()
    service.undelete(chat, messages[0].id)
    part = service.messages(chat)[0].parts[0]
    assert service.attachments.read(part.meta["hash"], part.text) == NOTES
    with pytest.raises(PaddockError, match="not stored here any more"):
        service.attachments.path(unused.hash)


def test_nothing_is_removed_while_a_damaged_file_of_chats_lies_aside(room: Room) -> None:
    kept = room.service.attachments.add(b"x", "a.txt")
    for path in room.service.attachments.folder.iterdir():
        os.utime(path, (0, 0))
    (room.folder / "chats-damaged-20260101-000000.sqlite3").touch()
    room.service.remove_unused_files()
    assert room.service.attachments.path(kept.hash).exists()


def test_a_lost_file_is_named_and_the_chat_goes_on(room: Room) -> None:
    chat, messages = send(room, "One?", *attach(room))
    for path in room.service.attachments.folder.iterdir():
        path.unlink()
    _, messages = send(room, "Two?", chat=chat)
    assert messages[3].text == "Two?"
    assert messages[3].meta["notes"][0].startswith("The model did not read notes.txt. This file is not stored")
    with pytest.raises(NotSaved, match=r"notes\.txt cannot be sent"):
        room.service.files.parts([(messages[0].parts[0].meta["hash"], "notes.txt")])


def _moved(room: Room, data: Any) -> Message:
    """Import a chat where its files are missing, and return its first message."""
    for path in room.service.attachments.folder.iterdir():
        path.unlink()
    return room.service.messages(room.service.import_chat(json.loads(json.dumps(data))).id)[0]


def test_an_export_holds_the_files(room: Room) -> None:
    chat, messages = send(room, "One?", *attach(room))
    data = room.service.export(chat)
    first = _moved(room, data)
    assert first.parts == messages[0].parts
    assert room.service.attachments.read(first.parts[0].meta["hash"], "notes.txt") == NOTES


def test_a_file_that_an_export_lacks_or_that_was_changed_is_named_honestly(room: Room) -> None:
    chat, messages = send(room, "One?", *attach(room))
    hash = messages[0].parts[0].meta["hash"]
    data = room.service.export(chat)
    for broken in ({}, {hash: {"name": "notes.txt", "data": "!"}}, {hash: {"data": "eA=="}}, {hash: 7}, [1]):
        first = _moved(room, {**data, "attachments": broken})
        assert first.parts[0].text == "notes.txt"
        with pytest.raises(PaddockError, match="not stored"):
            room.service.attachments.path(hash)


def test_exports_as_text_name_the_files_without_markup(room: Room) -> None:
    name = "<img src=x>](javascript:1)_a_.txt"
    (part,) = attach(room)
    chat, messages = send(room, "One?", replace(part, text=name))
    head = room.service.head(chat)
    assert r"[\<img src=x\>\](javascript:1)\_a\_.txt]" in write_markdown(head, messages)
    html = write_html(head, messages)
    assert "[&lt;img src=x&gt;](javascript:1)_a_.txt]" in html and "<img" not in html


def test_a_history_that_a_hook_changed_keeps_the_files(room: Room) -> None:
    chat, messages = send(room, "One?", *attach(room))
    changed = messages_from_pairs([("One?", "Another answer."), ("Two?", "")])
    kept = keep_files(changed, messages)
    assert [part.kind for part in kept[0].parts] == [DOCUMENT, TEXT]
    assert kept[1:] == changed[1:]
    assert "heron" in prompts(room, kept)[0][0]


def test_parts_of_files_have_no_text_of_their_own() -> None:
    parts = (Part(IMAGE, "a.png", {"hash": "a" * 64}), Part(TEXT, "Hi"))
    assert visible_text(parts) == raw_text(parts) == "Hi"
    assert with_text(parts, "Ho") == (parts[0], Part(TEXT, "Ho"))


@pytest.mark.parametrize("hash", [None, "../../x", "a" * 63, 7])
def test_an_imported_part_cannot_name_another_file(hash: object) -> None:
    with pytest.raises(ValueError, match="a file without a hash"):
        from_json([{"kind": "image", "text": "x", "meta": {"hash": hash}}])
    (part,) = from_json([{"kind": "image", "text": "../x\n", "meta": {"hash": "a" * 64, "size": float("nan")}}])
    assert (part.text, part.meta) == ("x", {"hash": "a" * 64})


def test_errors_of_counting_and_ranking_name_the_file(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    files, named = room.service.files, list[str]()
    hash = room.service.attachments.add(words(5000).encode(), "notes.txt").hash
    text = room.service.attachments.text

    def read(hash: str, name: str) -> Any:
        named.append(name)
        return text(hash, name)

    monkeypatch.setattr(room.service.attachments, "text", read)
    part = Part(DOCUMENT, "notes.txt", {"hash": hash})
    files.facts(hash, "notes.txt")
    files.prepare("", [Message("", None, "user", (part, Part(TEXT, "grass 7?")), 0.0)], 200, 20)
    assert len(named) == 4 and set(named) == {"notes.txt"}
