"""Reader of PDF documents, through pypdf."""

from __future__ import annotations

from pathlib import Path

from modules.chat.attachments.limited_text import LimitedText, Unreadable

# Letters that fonts join. A search for the word would miss them.
_LIGATURES = str.maketrans(
    {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st", "\ufb06": "st"}
)


def read_pdf(path: Path, found: LimitedText) -> None:
    """Read the text of each page, with an empty line between pages. Raises Unreadable."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError

    reader = PdfReader(path)
    if reader.is_encrypted:
        try:
            opened = bool(reader.decrypt(""))
        except DependencyError:
            opened = False
        if not opened:
            raise Unreadable("is protected by a password. Save a copy without one, and attach that.")
    empty = 0
    for page in reader.pages:
        if found.full:
            return
        found.begin_page()
        text = page.extract_text().translate(_LIGATURES).strip()
        empty += not text
        if text:
            found.add(f"{text}\n\n")
    count = len(reader.pages)
    if count and empty == count:
        raise Unreadable("has no text: its pages are pictures, as from a scanner. Run text recognition (OCR) first.")
    if empty:
        found.notes.append(f"{empty} of {count} pages have no text; they may be pictures.")
