"""The files that messages name, each stored once under the hash of its content."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

from modules.chat.attachments.attachment_error import AttachmentError
from modules.chat.attachments.attachment_name import attachment_name
from modules.chat.attachments.audio_facts import AUDIO_TYPES, read_audio_facts
from modules.chat.attachments.document_text import DocumentText, read_document_bytes
from modules.chat.attachments.image_facts import IMAGE_ENDINGS, read_image_facts
from modules.families.audio_file import is_audio
from modules.files.paths import write_atomically
from modules.protocol.errors import PaddockError

# Limits of one file in bytes.
MOST_BYTES = 50_000_000
MOST_IMAGE_BYTES = 20_000_000
# What no message names yet may be in someone's draft for so long, in seconds.
DRAFT_SECONDS = 24 * 3600.0
# Format of a document -> the ending of its file here, and its MIME type.
_DOCUMENTS = {
    "PDF": (".pdf", "application/pdf"),
    "DOCX": (".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    "XLSX": (".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    "EPUB": (".epub", "application/epub+zip"),
    "HTML": (".txt", "text/html"),
    "text": (".txt", "text/plain"),
}
_TEXT_TYPES = {".md": "text/markdown", ".markdown": "text/markdown", ".csv": "text/csv", ".json": "application/json"}
_AUDIO_ENDINGS = {f".{format}": mime for format, mime in AUDIO_TYPES.items()}
_ENDINGS = (*IMAGE_ENDINGS.values(), *_AUDIO_ENDINGS, *dict.fromkeys(ending for ending, _ in _DOCUMENTS.values()))
_IMAGE_MARKS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8")
_IMAGE_TYPES = {ending: mime for mime, ending in IMAGE_ENDINGS.items()}
# The text of a document, beside it.
_TEXT_ENDING = ".text.json"
_HASH = re.compile(r"[0-9a-f]{64}")
_OWN_FILE = re.compile(r"\.?([0-9a-f]{64})\..+")


@dataclass(frozen=True)
class Attachment:
    """A stored file. `hash`: SHA-256 of its content in hex; `size`: bytes; `width`, `height`: pixels of an image;
    `seconds`: the length of a sound."""

    hash: str
    name: str
    mime: str
    size: int
    width: int = 0
    height: int = 0
    seconds: float = 0.0

    @property
    def kind(self) -> str:
        """Return "image", "audio" or "document"."""
        if self.mime in AUDIO_TYPES.values():
            return "audio"
        return "image" if self.mime in IMAGE_ENDINGS else "document"

    @property
    def is_image(self) -> bool:
        """Return True for an image."""
        return self.kind == "image"


class AttachmentStore:
    """The attachments of one account, in one folder. Thread-safe: files are written whole and never changed."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.folder = folder
        self._clock = clock

    def add(self, data: bytes, name: str) -> Attachment:
        """Store an image, a sound or a document; blocking. Content that is there already gives the same attachment.

        Raises AttachmentError or DocumentError for a file that is too large, of an unknown format, damaged or without
        text, and if the disk is full.
        """
        name = attachment_name(name)
        if not data:
            raise AttachmentError(f"{name} is empty. Choose a file with content.")
        image = data.startswith(_IMAGE_MARKS) or (data.startswith(b"RIFF") and data[8:12] == b"WEBP")
        most = MOST_IMAGE_BYTES if image else MOST_BYTES
        if len(data) > most:
            advice = "Save it smaller." if image else "Attach a part of it."
            raise AttachmentError(f"{name} has more than {most // 1_000_000} MB. {advice}")
        digest = hashlib.sha256(data).hexdigest()
        if is_audio(data):
            sound = read_audio_facts(data, name, AttachmentError)
            self._write(f"{digest}.{sound.format}", data, name)
            return Attachment(digest, name, AUDIO_TYPES[sound.format], len(data), seconds=sound.seconds)
        if image:
            facts = read_image_facts(data, name)
            self._write(f"{digest}{IMAGE_ENDINGS[facts.mime]}", data, name)
            return Attachment(digest, name, facts.mime, len(data), facts.width, facts.height)
        text = self._stored_text(digest) or read_document_bytes(data, name)
        self._write(f"{digest}{_DOCUMENTS[text.kind][0]}", data, name)
        self._write_text(digest, text)
        return Attachment(digest, name, _document_mime(text.kind, name), len(data))

    def find(self, hash: str, name: str) -> Attachment:
        """Return a stored file under this name, without the width and height of an image; blocking.

        Raises AttachmentError or DocumentError.
        """
        path, name = self.path(hash), attachment_name(name)
        if mime := _AUDIO_ENDINGS.get(path.suffix):
            sound = read_audio_facts(self._read(path, name), name, AttachmentError)
            return Attachment(hash, name, mime, path.stat().st_size, seconds=sound.seconds)
        mime = _IMAGE_TYPES.get(path.suffix) or _document_mime(self.text(hash, name).kind, name)
        return Attachment(hash, name, mime, path.stat().st_size)

    def path(self, hash: str) -> Path:
        """Return the path of a stored file. Raises AttachmentError where there is none."""
        if _HASH.fullmatch(hash):
            for ending in _ENDINGS:
                path = self.folder / f"{hash}{ending}"
                if path.is_file():
                    return path
        raise AttachmentError("This file is not stored here any more. Attach it again.")

    def text(self, hash: str, name: str) -> DocumentText:
        """Return the text of a stored document; blocking where it has to be read again.

        Raises AttachmentError or DocumentError.
        """
        path = self.path(hash)
        text = self._stored_text(hash)
        if text is None:
            text = read_document_bytes(self._read(path, name), name)
            self._write_text(hash, text)
        return DocumentText(attachment_name(name), text.kind, text.text, text.notes)

    def remove_unused(self, named: Collection[str]) -> int:
        """Remove the files whose hash is not in `named`, and return how many.

        Files of the last day stay, because a message that is being written may need them.
        """
        names, removed = frozenset(named), 0
        oldest = self._clock() - DRAFT_SECONDS
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            found = _OWN_FILE.fullmatch(path.name)
            if found is None or (found[1] in names and not path.name.startswith(".")):
                continue
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    removed += 1
        return removed

    def read(self, hash: str, name: str) -> bytes:
        """Return the content of a stored file. Raises AttachmentError."""
        return self._read(self.path(hash), name)

    def _read(self, path: Path, name: str) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise AttachmentError(f"{name} could not be read ({error.strerror}). Attach it again.") from error

    def _write(self, file: str, data: bytes, name: str) -> None:
        path = self.folder / file
        try:
            if path.is_file() and path.stat().st_size == len(data):
                os.utime(path, (self._clock(),) * 2)
                return
            write_atomically(path, data)
        except (OSError, PaddockError) as error:
            cause = error.__cause__ if isinstance(error, PaddockError) else error
            reason = getattr(cause, "strerror", None) or str(error)
            raise AttachmentError(
                f"{name} could not be stored ({reason}). Free some disk space or check the permissions of "
                f"{self.folder}, then attach it again.",
                detail=str(cause),
            ) from error

    def _stored_text(self, hash: str) -> DocumentText | None:
        try:
            found = json.loads((self.folder / f"{hash}{_TEXT_ENDING}").read_text("utf-8"))
            return DocumentText("", found["kind"], found["text"], tuple(found["notes"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def _write_text(self, hash: str, text: DocumentText) -> None:
        values = {"kind": text.kind, "text": text.text, "notes": text.notes}
        self._write(f"{hash}{_TEXT_ENDING}", json.dumps(values).encode(), text.name or "This file")


def _document_mime(kind: str, name: str) -> str:
    mime = _DOCUMENTS[kind][1]
    return _TEXT_TYPES.get(Path(name).suffix.lower(), mime) if kind == "text" else mime
