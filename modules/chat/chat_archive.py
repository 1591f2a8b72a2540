"""ZIP archives of chats: ChatGPT's export as it is downloaded, Paddock's own, and folders of chats."""

from __future__ import annotations

import io
import re
import zipfile
from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath

from modules.chat.attachments.attachment_store import MOST_IMAGE_BYTES
from modules.chat.attachments.image_facts import IMAGE_ENDINGS
from modules.files.zip_errors import ZIP_ERRORS
from modules.protocol.errors import PaddockError

# All chats of an archive may have so many bytes unpacked.
_MOST_BYTES = 512 << 20
# The pictures of one archive that are imported, in bytes.
_MOST_PICTURES = 200_000_000
_CHATGPT = re.compile(r"conversations(?:-\d+)?\.json")
_MIMES = {ending: mime for mime, ending in IMAGE_ENDINGS.items()} | {".jpeg": "image/jpeg"}


def is_archive(raw: bytes) -> bool:
    """Return True if a file is a ZIP archive."""
    return raw.startswith(b"PK\x03\x04")


class ChatArchive:
    """The chats and pictures of a ZIP archive. Raises PaddockError if it cannot be read."""

    def __init__(self, raw: bytes) -> None:
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(raw))
        except ZIP_ERRORS as error:
            raise PaddockError(f"This archive is damaged ({error}). Download it again.") from None
        named = [one for one in self._zip.infolist() if one.filename]
        files = [one for one in named if not one.is_dir() and "__MACOSX" not in one.filename]
        chats = [one for one in files if PurePosixPath(one.filename).suffix.lower() in (".json", ".jsonl")]
        # ChatGPT's archive has other JSON files, which are no chats.
        from_chatgpt = [one for one in chats if _CHATGPT.fullmatch(PurePosixPath(one.filename).name)]
        self._chats = sorted(from_chatgpt or chats, key=lambda one: one.filename)
        pictures = {PurePosixPath(one.filename).name: one for one in files if _mime(one.filename)}
        self._pictures = dict(sorted(pictures.items()))
        self._names = list(self._pictures)
        self._room = _MOST_PICTURES

    def chats(self) -> list[Callable[[], bytes]]:
        """Return a function for each file that may be a chat, which returns its content or raises PaddockError."""
        if sum(one.file_size for one in self._chats) > _MOST_BYTES:
            raise PaddockError(
                f"The chats in this archive have more than {_MOST_BYTES >> 20} MiB. Unpack it, and import "
                "its files one by one."
            )
        return [partial(self._read, one, _MOST_BYTES) for one in self._chats]

    def picture(self, pointer: str) -> tuple[str, bytes, str] | None:
        """Return the name, the content and the MIME type of the picture that a message names so, or None."""
        # The file's name begins with what the message names, and ends with the name that the person gave it.
        place = bisect_left(self._names, pointer)
        file = self._names[place] if pointer and place < len(self._names) else ""
        rest = file[len(pointer) :]
        found = self._pictures[file] if file.startswith(pointer) and not rest[:1].isalnum() else None
        if found is None or found.file_size > min(self._room, MOST_IMAGE_BYTES):
            return None
        try:
            data = self._read(found, MOST_IMAGE_BYTES)
        except PaddockError:
            return None
        self._room -= len(data)
        return rest.lstrip("-_") if rest.startswith(("-", "_")) else file, data, _mime(file)

    def _read(self, one: zipfile.ZipInfo, most: int) -> bytes:
        try:
            with self._zip.open(one) as file:
                # The size that an archive states may be wrong.
                return file.read(most)
        except ZIP_ERRORS as error:
            reason = "it has a password" if one.flag_bits & 1 else str(error)
            raise PaddockError(
                f"{one.filename[:80]} in this archive cannot be read: {reason}. Unpack it first."
            ) from None


def _mime(name: str) -> str:
    """Return the MIME type of a picture by its name, or "" for another file."""
    return _MIMES.get(PurePosixPath(name).suffix.lower(), "")
