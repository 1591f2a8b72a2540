"""Archives of chats that are damaged or oddly named are read as far as they can be, and get a sentence otherwise."""

from __future__ import annotations

import io
import json
import random
import zipfile

import pytest

from modules.chat.chat_archive import ChatArchive
from modules.chat.chat_reader import read_chat_file
from modules.protocol.errors import PaddockError
from tests.support.pictures import RED, png

NOW = 1000.0
CHAT = json.dumps([{"role": "user", "content": "Hi"}]).encode()


def _archive(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.compress_type = method
            # Unlike writestr, this takes an empty name.
            with archive.open(entry, "w") as file:
                file.write(data)
    return content.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_damaged_bytes_in_an_archive_get_a_sentence(method: int) -> None:
    digits = random.Random(5)
    text = "".join(digits.choice("0123456789 herons") for _ in range(2000))
    raw = _archive({"a.json": json.dumps([{"role": "user", "content": text}]).encode()}, method)
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        (entry,) = archive.infolist()
    first = len(entry.FileHeader())
    for place in range(first, first + entry.compress_size - 4, 7):
        damaged = bytearray(raw)
        damaged[place : place + 4] = bytes(byte ^ 0xFF for byte in damaged[place : place + 4])
        with pytest.raises(PaddockError, match="a.json in this archive cannot be read"):
            read_chat_file(bytes(damaged), NOW)


def test_an_entry_without_a_name_is_left_out() -> None:
    (chat,), others = read_chat_file(_archive({"": b"x", "a.json": CHAT}), NOW)
    assert (len(chat.messages), others) == (1, 0)
    with pytest.raises(PaddockError, match="no messages"):
        read_chat_file(_archive({"": b"x"}), NOW)


def test_a_picture_that_is_named_as_its_pointer_keeps_this_name() -> None:
    picture = png(RED, 2, 2)
    archive = ChatArchive(_archive({"file_1.png": picture, "file_2-marsh.png": picture}))
    assert archive.picture("file_1.png") == ("file_1.png", picture, "image/png")
    assert archive.picture("file_2") == ("marsh.png", picture, "image/png")
