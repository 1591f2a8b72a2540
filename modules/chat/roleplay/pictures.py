"""Avatars of characters and personas: one picture beside the file that has their texts."""

from __future__ import annotations

from pathlib import Path

from modules.chat.attachments.image_facts import IMAGE_ENDINGS, read_image_facts
from modules.chat.roleplay.card_error import CardError
from modules.files.paths import write_atomically
from modules.protocol.errors import PaddockError

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".gif")
MOST_BYTES = 20_000_000
_TYPES = {ending: mime for mime, ending in IMAGE_ENDINGS.items()} | {".jpeg": "image/jpeg"}


def picture_ending(data: bytes, name: str) -> str:
    """Return the ending of a picture's file; blocking. Raise CardError for one that cannot be shown.

    The picture is decoded in a process of limited memory.
    """
    if len(data) > MOST_BYTES:
        raise CardError(f"{name} has more than {MOST_BYTES // 1_000_000} MB. Save the picture smaller.")
    try:
        return IMAGE_ENDINGS[read_image_facts(data, name).mime]
    except PaddockError as error:
        raise CardError(error.message, detail=error.detail) from error


def write_picture(place: Path, data: bytes, name: str) -> None:
    """Write a picture as `place` with its own ending, in place of an earlier one. Raise CardError."""
    ending = picture_ending(data, name)
    write_atomically(place.with_name(place.name + ending), data)
    for other in ENDINGS:
        if other != ending:
            place.with_name(place.name + other).unlink(missing_ok=True)


def find_picture(place: Path) -> Path | None:
    """Return the picture that lies as `place` with an ending, or None."""
    files = (place.with_name(place.name + ending) for ending in ENDINGS)
    return next((path for path in files if path.is_file()), None)


def picture_mime(path: Path) -> str:
    """Return the MIME type of a picture's file."""
    return _TYPES.get(path.suffix, "application/octet-stream")
