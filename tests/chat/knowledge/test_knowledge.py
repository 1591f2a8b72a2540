"""Knowledge follows its folder, is found by words and by vectors, and survives what goes wrong."""

from __future__ import annotations

import errno
import os
import re
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from modules.chat.attachments.document_text import DocumentText, DocumentUnreachable, read_document
from modules.chat.knowledge import reading
from modules.chat.knowledge.chunks import Chunk, split_document
from modules.chat.knowledge.folder_scan import scan_folder
from modules.chat.knowledge.index_file import KnowledgeError
from modules.chat.knowledge.reading import Reader

_NOTHING = lambda phase, done, total: None  # noqa: E731


def _write(folder: Path, name: str, text: str, seconds: int = 1_000_000_000) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    os.utime(path, (seconds, seconds))


def _made(room: SimpleNamespace, name: str = "Manuals") -> str:
    """Add the folder of the tests as knowledge and read it."""
    _write(room.docs, "boiler.md", "# Boiler\n\nThe boiler needs 1.5 bar of water pressure.")
    _write(room.docs, "inner/roof.txt", "The roof was painted red in 1998.")
    made: str = room.knowledge.create(name, str(room.docs))
    room.knowledge.read_now(made, _NOTHING)
    return made


def _found(room: SimpleNamespace, question: str) -> list[str]:
    return [passage.path for passage in room.knowledge.search(["Manuals"], question, 8)[0]]


def test_a_question_finds_its_document_with_place_and_text(room: SimpleNamespace) -> None:
    _made(room)
    found, notes = room.knowledge.search(["manuals"], "What pressure does the boiler need?", 8)
    assert (found[0].knowledge, found[0].path, found[0].line, found[0].page) == ("Manuals", "boiler.md", 1, 0)
    assert "1.5 bar" in found[0].text
    assert notes == []
    path, text = room.knowledge.document(found[0].document)
    assert (path, text[found[0].start : found[0].stop]) == ("boiler.md", found[0].text)


def test_new_changed_and_removed_files_are_followed(room: SimpleNamespace) -> None:
    _made(room)
    _write(room.docs, "boiler.md", "The heating was replaced by a heat pump.", 1_000_000_005)
    (room.docs / "inner" / "roof.txt").unlink()
    _write(room.docs, "garden.txt", "Tulips grow behind the house.")
    state = room.knowledge.read_now("Manuals", _NOTHING)
    assert state.documents == 2
    assert _found(room, "pressure") == []
    assert _found(room, "roof") == []
    assert _found(room, "heat pump") == ["boiler.md"]
    assert _found(room, "tulips") == ["garden.txt"]


def test_files_that_did_not_change_are_not_read_again(room: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    _made(room)

    def read(*arguments: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr("modules.chat.knowledge.reading.read_document", read)
    assert room.knowledge.read_now("Manuals", _NOTHING).documents == 2


def test_a_question_waits_for_what_has_just_changed(room: SimpleNamespace) -> None:
    _made(room)
    _write(room.docs, "new.txt", "The cellar key hangs behind the door.")
    room.clock.now += 60
    assert room.knowledge.prepare(["Manuals"], 60.0) == []
    assert _found(room, "cellar key") == ["new.txt"]


def test_a_question_says_what_is_still_being_read(room: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    _made(room)
    _write(room.docs, "new.txt", "The cellar key hangs behind the door.")
    goes_on = threading.Event()
    read = Reader.read

    def late(*arguments: object) -> object:
        assert goes_on.wait(60)
        return read(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Reader, "read", late)
    room.clock.now += 60
    (note,) = room.knowledge.prepare(["Manuals"], 0.01)
    goes_on.set()
    # The number of documents is known if the thread has counted them by now.
    assert re.fullmatch(
        "Manuals is still being read(: 0 of 1 changed documents so far)?, so its newest documents may be missing.", note
    )


def test_a_folder_that_is_gone_keeps_what_was_read(room: SimpleNamespace) -> None:
    _made(room)
    room.docs.rename(room.folder / "elsewhere")
    with pytest.raises(KnowledgeError, match="cannot be read .* What was read of it earlier is still used"):
        room.knowledge.read_now("Manuals", _NOTHING)
    assert _found(room, "boiler pressure") == ["boiler.md"]


def test_a_folder_that_vanishes_while_it_is_read_keeps_what_was_read(
    room: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _made(room)
    _write(room.docs, "a.txt", "Tulips grow behind the house.")
    _write(room.docs, "boiler.md", "The heating was replaced.", 1_000_000_005)

    def vanish(*arguments: object) -> list[Chunk]:
        room.docs.rename(room.folder / "elsewhere")
        return split_document(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "split_document", vanish)
    with pytest.raises(KnowledgeError, match="What was read of it earlier is still used"):
        room.knowledge.read_now("Manuals", _NOTHING)
    assert (_found(room, "tulips"), _found(room, "pressure")) == (["a.txt"], ["boiler.md"])


def test_a_file_that_could_not_be_read_is_read_once_that_is_possible(
    room: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, name: str) -> DocumentText:
        if name == "boiler.md":
            raise DocumentUnreachable("It cannot be read now.")
        return read_document(path, name)

    monkeypatch.setattr(reading, "read_document", refuse)
    _made(room)
    (state,) = room.knowledge.states()
    assert state.problems == (("boiler.md", "It cannot be read now."),)
    monkeypatch.setattr(reading, "read_document", read_document)
    room.clock.now += 60
    assert room.knowledge.prepare(["Manuals"], 60.0) == []
    assert _found(room, "pressure") == ["boiler.md"], "neither its size nor its time has changed"


def test_what_was_read_stays_where_a_folder_may_not_be_read_any_more(
    room: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    _made(room)
    look = os.scandir

    def refuse(path: str | Path) -> object:
        if Path(path).name == "inner":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", refuse)
    state = room.knowledge.read_now("Manuals", _NOTHING)
    (note,) = state.notes
    assert note.startswith("Paddock may not read inner. What was read there earlier is still used. Change the perm")
    assert _found(room, "roof") == ["inner/roof.txt"]


def test_a_document_without_text_is_named_once_and_others_are_read(room: SimpleNamespace) -> None:
    (room.docs / "broken.pdf").write_bytes(b"%PDF-1.4 nothing")
    os.utime(room.docs / "broken.pdf", (1, 1))
    _made(room)
    (state,) = room.knowledge.states()
    assert state.documents == 2
    assert [path for path, sentence in state.problems if "broken.pdf is no whole PDF" in sentence] == ["broken.pdf"]


def test_a_document_with_letters_that_no_database_stores_is_read_whole(
    room: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path, name: str) -> DocumentText:
        return DocumentText(name, "PDF", "A\0 \ud800 title.\n\nThe boiler is warm.")

    monkeypatch.setattr("modules.chat.knowledge.reading.read_document", read)
    _made(room)
    found, _ = room.knowledge.search(["Manuals"], "boiler", 8)
    assert found and found[0].text == "A  ? title.\n\nThe boiler is warm."


def test_vectors_find_what_no_word_does(room: SimpleNamespace) -> None:
    _made(room)
    assert _found(room, "bbbooiillerr") == []
    room.knowledge.choose_embedder("letters")
    state = room.knowledge.read_now("Manuals", _NOTHING)
    assert (state.passages, state.vectors) == (2, 2)
    assert _found(room, "bbbooiillerr")


def test_a_model_that_fails_leaves_the_words_and_says_so(room: SimpleNamespace) -> None:
    _made(room)
    room.settings.set("knowledge_model", "letters")
    room.vectors.broken = KnowledgeError("It is broken.")
    state = room.knowledge.read_now("Manuals", _NOTHING)
    assert state.notes == ("Passages are found by their words only. It is broken.",)
    found, notes = room.knowledge.search(["Manuals"], "boiler", 8)
    assert [one.path for one in found] == ["boiler.md"]
    assert notes == ["The passages were chosen by their words only. It is broken."]


def test_lost_vectors_are_made_again(room: SimpleNamespace) -> None:
    _made(room)
    room.settings.set("knowledge_model", "letters")
    room.knowledge.read_now("Manuals", _NOTHING)
    room.vectors.kept.clear()
    assert room.knowledge.read_now("Manuals", _NOTHING).vectors == 2
    assert room.vectors.added == 4


def test_vectors_of_changed_and_removed_documents_go(room: SimpleNamespace) -> None:
    room.settings.set("knowledge_model", "letters")
    _made(room)
    for number in range(3):
        _write(room.docs, "boiler.md", f"The boiler was changed in {number}.", 1_000_000_001 + number)
        state = room.knowledge.read_now("Manuals", _NOTHING)
    (vectors,) = room.vectors.kept.values()
    assert (state.vectors, len(vectors), room.vectors.added) == (2, 2, 5)
    (room.docs / "inner" / "roof.txt").unlink()
    room.knowledge.read_now("Manuals", _NOTHING)
    (vectors,) = room.vectors.kept.values()
    assert list(vectors.values()) == ["The boiler was changed in 2."]


def test_a_damaged_index_is_made_anew(room: SimpleNamespace) -> None:
    _made(room)
    room.knowledge.close()
    file = room.folder / "index" / "index.sqlite3"
    file.write_bytes(b"no database" * 1000)
    room.knowledge = room.open()
    assert room.knowledge.read_now("Manuals", _NOTHING).documents == 2
    assert _found(room, "boiler") == ["boiler.md"]


def test_removed_knowledge_is_gone_and_its_files_stay(room: SimpleNamespace) -> None:
    _made(room)
    room.knowledge.remove("Manuals")
    assert room.knowledge.states() == []
    assert (room.docs / "boiler.md").is_file()
    found, notes = room.knowledge.search(["Manuals"], "boiler", 8)
    assert (found, notes) == ([], ["There is no knowledge named 'Manuals' any more."])


def test_added_files_have_a_folder_of_their_own(room: SimpleNamespace) -> None:
    knowledge = room.knowledge
    knowledge.create("Notes")
    assert knowledge.add_file("Notes", "../../etc/../.plan.txt", b"The meeting is on Tuesday.") == "plan.txt"
    assert knowledge.add_file("Notes", "plan.txt", b"The meeting is on Monday.") == "plan 2.txt"
    assert knowledge.files("Notes") == ["plan 2.txt", "plan.txt"]
    knowledge.remove_file("Notes", "plan.txt")
    assert knowledge.files("Notes") == ["plan 2.txt"]
    with pytest.raises(KnowledgeError, match="no file"):
        knowledge.remove_file("Notes", "../../settings.yaml")


def test_a_file_with_a_long_name_of_another_script_can_be_added_twice(room: SimpleNamespace) -> None:
    room.knowledge.create("Notes")
    for text in (b"The cat sleeps.", b"The cat wakes."):
        name = room.knowledge.add_file("Notes", f"{'猫' * 200}.txt", text)
        assert name in room.knowledge.files("Notes")
    assert name.endswith("猫 2.txt")


def test_files_cannot_be_added_to_a_folder_of_the_user(room: SimpleNamespace) -> None:
    _made(room)
    with pytest.raises(KnowledgeError, match="Put files there with any other program"):
        room.knowledge.add_file("Manuals", "a.txt", b"text")
    assert not (room.docs / "a.txt").exists()


def test_an_account_without_rights_names_no_folder(room: SimpleNamespace) -> None:
    with pytest.raises(KnowledgeError, match="Only an admin"):
        room.open(lambda: False).create("All", "/")


@pytest.mark.parametrize(
    ("name", "folder", "why"),
    [
        (" \x00 ", "", "needs a name"),
        ("n" * 61, "", "needs a name"),
        ("Docs", "relative/path", "no full path"),
        ("Docs", "/no/such/folder", "no folder"),
        ("MANUALS", "", "already"),
    ],
)
def test_what_cannot_be_knowledge_is_refused_with_a_sentence(
    room: SimpleNamespace, name: str, folder: str, why: str
) -> None:
    room.knowledge.create("Manuals")
    with pytest.raises(KnowledgeError, match=why):
        room.knowledge.create(name, folder)
    assert room.knowledge.names() == ["Manuals"]


def test_links_pipes_and_hidden_files_are_not_read(room: SimpleNamespace) -> None:
    secret = room.folder / "secret.txt"
    secret.write_text("secret")
    (room.docs / "link.txt").symlink_to(secret)
    (room.docs / "loop").symlink_to(room.docs)
    (room.docs / ".hidden").write_text("hidden")
    os.mkfifo(room.docs / "pipe.txt")
    _write(room.docs, "photo.JPG", "x")
    _write(room.docs, "plain.txt", "x")
    assert [file.path for file in scan_folder(room.docs).files] == ["plain.txt"]


def test_a_huge_folder_is_read_in_part_and_says_so(room: SimpleNamespace) -> None:
    for number in range(5):
        _write(room.docs, f"{number}.txt", "x")
    scan = scan_folder(room.docs, most=3)
    assert (len(scan.files), scan.note) == (3, "Only the first 3 files are read. Choose a smaller folder.")


def test_words_of_every_passage_do_not_choose_one(room: SimpleNamespace) -> None:
    for number in range(30):
        _write(room.docs, f"{number:02}.txt", f"The report of day {number:02} says nothing new.")
    _write(room.docs, "x.txt", "The report of the flood says much.")
    _made(room)
    assert _found(room, "What does the report of the flood say?") == ["x.txt"]
