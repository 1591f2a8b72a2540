"""Readers of documents, for the process of `document_text`: what is imported here never loads in the host."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from modules.chat.attachments.archive_readers import read_docx, read_epub, read_xlsx
from modules.chat.attachments.limited_text import LimitedText, Unreadable
from modules.chat.attachments.pdf_reader import read_pdf
from modules.chat.attachments.text_readers import decode_text, looks_like_html, read_html
from modules.system.json_process import serve_json

# Limit of the process's address space in bytes.
_MAX_MEMORY = 1 << 30
_OLE = bytes.fromhex("D0CF11E0A1B11AE1")
# A file that only an archive of this format contains -> the format's name and reader.
_ARCHIVES: dict[str, tuple[str, Callable[[Path, LimitedText], None]]] = {
    "word/document.xml": ("DOCX", read_docx),
    "xl/workbook.xml": ("XLSX", read_xlsx),
    "META-INF/container.xml": ("EPUB", read_epub),
}
# Formats that hold no text. The first bytes -> the format's name.
_WITHOUT_TEXT = {
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"RIFF": "a picture or sound",
    b"ID3": "sound",
    b"OggS": "sound",
    b"\x7fELF": "a program",
    b"MZ": "a program",
}


def serve() -> None:
    """Run the process's loop."""
    serve_json(lambda request: read(Path(request["path"]), request["name"]), _MAX_MEMORY)


def read(path: Path, name: str) -> dict[str, Any]:
    """Return {kind, text, notes, pages} of a document; or {error}: why it has no text, with a next step; or {refused}:
    what the system says of a file that it does not read."""
    found = LimitedText()
    kind = ""
    try:
        kind, reader = _reader(path, name)
        reader(path, found)
    except Unreadable as error:
        return {"error": f"{name} {error}"}
    except MemoryError:
        return {"error": f"{name} needs too much memory to be read. Attach a part of it, or its text."}
    except OSError as error:
        # Libraries raise it too, without a number, for what they find in a damaged file.
        return {"refused": error.strerror} if error.errno else {"error": _damaged(name, kind, error)}
    except Exception as error:  # libraries raise whatever a damaged file leads them to
        return {"error": _damaged(name, kind, error)}
    if not found.text.strip():
        return {"error": f"{name} holds no text. Attach a file with text."}
    return {"kind": kind, "text": found.text, "notes": found.notes, "pages": found.pages}


def _damaged(name: str, kind: str, error: Exception) -> str:
    reason = f"{type(error).__name__}: {error}"[:300]
    what = f"no whole {kind} file" if kind else "damaged"
    return f"{name} is {what} ({reason}). Open it in the program that made it, and save it again."


def _reader(path: Path, name: str) -> tuple[str, Callable[[Path, LimitedText], None]]:
    """Return a document's format and its reader, by its first bytes. Raises Unreadable, OSError or BadZipFile."""
    with path.open("rb") as file:
        head = file.read(4096)
    if b"%PDF-" in head[:1024]:
        return "PDF", read_pdf
    if head.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            return _archive_reader(archive.namelist())
    if head.startswith(_OLE):
        raise Unreadable("is protected by a password, or from an Office before 2007. Save it as PDF, DOCX or XLSX.")
    if what := next((what for begin, what in _WITHOUT_TEXT.items() if head.startswith(begin)), ""):
        raise Unreadable(f"is {what}, which has no text to read. Attach a document with text.")
    if head.startswith(b"{\\rtf"):
        raise Unreadable("is in Rich Text Format. Save it as DOCX or PDF.")
    if looks_like_html(head, name):
        return "HTML", read_html
    return "text", _read_text


def _archive_reader(names: Iterable[str]) -> tuple[str, Callable[[Path, LimitedText], None]]:
    inside = set(names)
    for file, found in _ARCHIVES.items():
        if file in inside:
            return found
    if {"mimetype", "content.xml"} <= inside:
        raise Unreadable("is an OpenDocument file. Save it as DOCX, XLSX or PDF.")
    raise Unreadable("is an archive. Unpack it, and attach the documents in it.")


def _read_text(path: Path, found: LimitedText) -> None:
    found.add(decode_text(path.read_bytes(), found))
