"""Readers of plain text and HTML."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from modules.chat.attachments.limited_text import LimitedText, Unreadable

# UTF-32 first: its mark begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HTML = re.compile(rb"^\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)*<(!doctype\s+html|html)\b", re.IGNORECASE | re.DOTALL)
# Elements whose content no reader sees.
_UNSEEN = ("script", "style", "template", "noscript", "svg", "head", "title", "annotation", "annotation-xml")
_NO_TEXT = "is no text file, and of no format that is known here. Save it as PDF or as text."


def looks_like_html(head: bytes, name: str) -> bool:
    """Return True if a file's first bytes or its name say that it is HTML."""
    return bool(_HTML.match(head)) or name.lower().endswith((".html", ".htm", ".xhtml"))


def decode_text(raw: bytes, found: LimitedText) -> str:
    """Return the text of a file. Raises Unreadable if it is none."""
    encoding = next((encoding for mark, encoding in _MARKS if raw.startswith(mark)), "")
    try:
        if encoding:
            return raw.decode(encoding)
        if b"\0" in raw:
            raise Unreadable(_NO_TEXT)
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        if encoding:
            raise Unreadable(_NO_TEXT) from None
        found.notes.append("It is not in UTF-8 and was read as Windows-1252, so letters may be wrong.")
        return raw.decode("cp1252", "replace")


def read_html(path: Path, found: LimitedText) -> None:
    """Read an HTML file."""
    found.add(html_to_markdown(decode_text(path.read_bytes(), found)))


def html_to_markdown(html: str) -> str:
    """Return what a reader of the page sees, as Markdown without pictures."""
    from bs4 import BeautifulSoup
    from bs4.element import Declaration, ProcessingInstruction
    from markdownify import MarkdownConverter

    page = BeautifulSoup(html, "html.parser")
    for instruction in page.find_all(string=lambda text: isinstance(text, (ProcessingInstruction, Declaration))):
        instruction.extract()  # Such as the first line of a chapter in XHTML.
    for element in page.find_all(_UNSEEN):
        element.decompose()
    text = MarkdownConverter(strip=["img"], heading_style="ATX", bullets="-").convert_soup(page)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
