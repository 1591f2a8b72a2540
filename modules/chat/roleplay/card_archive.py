"""CHARX files: a zip archive with a character card of version 3 in `card.json`, and the files that the card names.

Nothing is unpacked to the disk. An archive is kept as it is, and its files are read from it when they are needed.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

from modules.chat.roleplay.card_error import CardError
from modules.files.zip_errors import ZIP_ERRORS

CARD_NAME = "card.json"
# Limits of one archive: files in it, and bytes unpacked, of all and of the card.
_MOST_FILES = 10_000
_MOST_BYTES = 300_000_000
_MOST_CARD = 24 << 20


def is_archive(data: bytes) -> bool:
    """Return True if the content is a zip archive, perhaps behind a picture, as some programs write it."""
    try:
        return zipfile.is_zipfile(io.BytesIO(data))
    except ZIP_ERRORS:
        return False


class CardArchive:
    """An archive in memory. Every method raises CardError for one that is damaged or too large."""

    def __init__(self, data: bytes, name: str) -> None:
        self._name = name
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            named = (member for member in self._zip.infolist() if member.filename)
            self._members = [member for member in named if not member.is_dir()]
        except ZIP_ERRORS as error:
            raise self._damaged(error) from None
        if len(self._members) > _MOST_FILES or sum(member.file_size for member in self._members) > _MOST_BYTES:
            raise CardError(
                f"{name} unpacks to more than {_MOST_BYTES // 1_000_000} MB or {_MOST_FILES:,} files. Choose a smaller "
                "card."
            )
        if any(member.flag_bits & 1 for member in self._members):
            raise CardError(f"{name} is encrypted. Export the card without a password.")

    def paths(self) -> list[str]:
        """Return the paths of the files in it, without the card."""
        return [member.filename for member in self._members if member.filename != CARD_NAME]

    def card(self) -> bytes:
        """Return the JSON of the card."""
        return self.read(CARD_NAME, _MOST_CARD)

    def read(self, path: str, most: int) -> bytes:
        """Return the content of a file of at most `most` bytes."""
        member = next((one for one in self._members if one.filename == path), None)
        if member is None:
            raise CardError(f"{self._name} has no {path}. Choose another character card.")
        if member.file_size > most:
            raise CardError(f"{path} in {self._name} is larger than {most >> 20} MB. Choose a smaller card.")
        try:
            with self._zip.open(member) as file:
                return file.read(most + 1)
        except ZIP_ERRORS as error:
            raise self._damaged(error) from None

    def assets(self) -> dict[str, bytes]:
        """Return path -> content of every file but the card."""
        return {path: self.read(path, _MOST_BYTES) for path in self.paths()}

    def _damaged(self, error: BaseException) -> CardError:
        return CardError(f"{self._name} is damaged, or no archive. Download it again.", detail=str(error))


def write_archive(card: bytes | None, assets: Mapping[str, bytes]) -> bytes:
    """Return an archive with these files, and the card where there is one."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in ({CARD_NAME: card} if card is not None else {}).items():
            archive.writestr(path, content)
        for path, content in assets.items():
            archive.writestr(path, content)
    return target.getvalue()
