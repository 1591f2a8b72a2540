"""A damaged ZIP archive gets a sentence at every door, whichever way its entries are compressed."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from modules.chat.attachments import document_readers
from modules.chat.character_file import read_character
from modules.chat.chat_reader import read_chat_file
from modules.library.hqq_save import read_hqq_save
from modules.plugins.install import install
from modules.protocol.errors import PaddockError

# 98 is PPMd, which zipfile does not know.
_UNKNOWN = 98
_METHODS = {
    "stored": zipfile.ZIP_STORED,
    "deflate": zipfile.ZIP_DEFLATED,
    "bzip2": zipfile.ZIP_BZIP2,
    "lzma": zipfile.ZIP_LZMA,
}


def _chats(path: Path) -> None:
    read_chat_file(path.read_bytes(), 0.0)


def _card(path: Path) -> None:
    read_character(path)


def _extension(path: Path) -> None:
    install(str(path), path.parent / "extensions", path.parent / "repositories")


def _save(path: Path) -> None:
    read_hqq_save(path)


def _document(path: Path) -> None:
    if error := document_readers.read(path, path.name).get("error"):
        raise PaddockError(error)


# Door -> what reads an archive there, the name of the file, and the entries that are looked for.
_DOORS: dict[str, tuple[Callable[[Path], None], str, tuple[str, ...]]] = {
    "chats": (_chats, "chats.zip", ("a.json",)),
    "card": (_card, "card.charx", ("card.json",)),
    "extension": (_extension, "dice.zip", ("extension.py",)),
    "HQQ": (_save, "qmodel.pt", ("archive/data.pkl",)),
    "DOCX": (_document, "a.docx", ("word/document.xml", "[Content_Types].xml", "_rels/.rels")),
    "XLSX": (_document, "a.xlsx", ("xl/workbook.xml", "[Content_Types].xml")),
    "EPUB": (_document, "a.epub", ("META-INF/container.xml",)),
}


def _archive(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            # Unlike writestr, this takes an empty name.
            with archive.open(entry, "w") as file:
                file.write(data)
    return content.getvalue()


def _text() -> bytes:
    words = random.Random(7)
    return json.dumps("".join(words.choice("0123456789 herons") for _ in range(600))).encode()


def _damaged(raw: bytes, at: float) -> bytes:
    """Return the archive with some bytes of each entry changed, at this part of its data."""
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        entries = archive.infolist()
    changed = bytearray(raw)
    for entry in entries:
        first = entry.header_offset + len(entry.FileHeader())
        place = first + int(at * (entry.compress_size - 8))
        changed[place : place + 8] = bytes(byte ^ 0xFF for byte in changed[place : place + 8])
    return bytes(changed)


@pytest.fixture(params=_DOORS)
def door(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[bytes], None]:
    """Return what takes an archive in at this door."""
    reader, name, _ = _DOORS[request.param]

    def take(raw: bytes) -> None:
        (tmp_path / name).write_bytes(raw)
        reader(tmp_path / name)

    return take


def _entries(request: pytest.FixtureRequest) -> dict[str, bytes]:
    _, _, names = _DOORS[request.node.callspec.params["door"]]
    return dict.fromkeys(names, _text())


@pytest.mark.parametrize("method", _METHODS)
def test_damaged_data_gets_a_sentence(
    door: Callable[[bytes], None], method: str, request: pytest.FixtureRequest
) -> None:
    raw = _archive(_entries(request), _METHODS[method])
    for at in (0.0, 0.1, 0.5, 1.0):
        with pytest.raises(PaddockError, match=r"\.$"):
            door(_damaged(raw, at))


def test_an_entry_without_a_name_gets_a_sentence_or_is_left_out(
    door: Callable[[bytes], None], request: pytest.FixtureRequest
) -> None:
    # What is asked for is missing too, so no door can take it in.
    with pytest.raises(PaddockError, match=r"\.$"):
        door(_archive({"": b"x", "other.txt": b"x"}))
    with pytest.raises(PaddockError, match=r"\.$"):
        door(_damaged(_archive({"": b"x" * 40, **_entries(request)}), 0.5))


def test_a_short_archive_and_an_unknown_way_to_compress_get_a_sentence(
    door: Callable[[bytes], None], request: pytest.FixtureRequest
) -> None:
    raw = _archive(_entries(request))
    for length in (4, 30, len(raw) // 2, len(raw) - 30, len(raw) - 1):
        with pytest.raises(PaddockError, match=r"\.$"):
            door(raw[:length])
    unknown = raw
    for signature, place in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        at = -1
        while (at := unknown.find(signature, at + 1)) >= 0:
            unknown = unknown[: at + place] + _UNKNOWN.to_bytes(2, "little") + unknown[at + place + 2 :]
    with pytest.raises(PaddockError, match=r"\.$"):
        door(unknown)
