"""The text of a document that a person or a program attaches.

Documents are untrusted: they are read in a process of limited memory that is killed when it takes too long.
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from modules.chat.attachments.reader_process import ask_reader
from modules.protocol.errors import PromptError

# Limits of a document: bytes of its file, and seconds to read it.
MOST_BYTES = 50_000_000
SECONDS = 60.0
_READERS = "modules.chat.attachments.document_readers"


class DocumentError(PromptError):
    """A document has no text that can be read here."""

    code = "document"


class DocumentUnreachable(DocumentError):
    """A document cannot be opened or read now, which says nothing about its content."""


@dataclass(frozen=True)
class DocumentText:
    """The text of a document. `kind`: its format's name, such as "PDF". `notes`: what the text lacks, in sentences.

    `pages`: where each page begins in the text, of a document with pages that was read now.
    """

    name: str
    kind: str
    text: str
    notes: tuple[str, ...] = ()
    pages: tuple[int, ...] = ()


def read_document(path: Path, name: str = "", seconds: float = SECONDS) -> DocumentText:
    """Return the text of a file; blocking. `name`: what to call it, by default its own name.

    Reads PDF, DOCX, XLSX, EPUB, HTML, and all that is plain text. Tables and headings become Markdown. Raises
    DocumentError; DocumentUnreachable where the system refuses the file.
    """
    name = name or path.name
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise _unreachable(name, error.strerror) from error
    if size > MOST_BYTES:
        raise DocumentError(f"{name} has more than {MOST_BYTES // 1_000_000} MB. Attach a part of it.")
    request: dict[str, object] = {"path": str(path.absolute()), "name": name}
    answer = ask_reader(_READERS, request, seconds, name, "Attach a part of it, or its text.", DocumentError)
    if refused := answer.get("refused"):
        raise _unreachable(name, refused)
    if problem := answer.get("error"):
        raise DocumentError(str(problem))
    return DocumentText(name, str(answer["kind"]), str(answer["text"]), tuple(answer["notes"]), tuple(answer["pages"]))


def _unreachable(name: str, reason: object) -> DocumentUnreachable:
    return DocumentUnreachable(
        f"{name} cannot be read now ({reason}). Check that the file is there and that you may read it."
    )


def read_document_bytes(data: bytes, name: str, seconds: float = SECONDS) -> DocumentText:
    """Return the text of a document in memory, as `read_document` does. Raises DocumentError."""
    with tempfile.TemporaryDirectory(prefix="paddock-") as folder:
        path = Path(folder, "document")
        path.write_bytes(data)
        return read_document(path, name or "document", seconds)
