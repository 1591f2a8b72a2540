"""Readers of documents that are zip archives: DOCX, XLSX and EPUB."""

from __future__ import annotations

import contextlib
import csv
import io
import posixpath
import zipfile
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

from modules.chat.attachments.limited_text import LimitedText, Unreadable
from modules.chat.attachments.text_readers import html_to_markdown

_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}rootfile"
_OPF = "{http://www.idpf.org/2007/opf}"


def read_docx(path: Path, found: LimitedText) -> None:
    """Read a Word document: headings, lists and tables as Markdown, without pictures."""
    import mammoth

    with path.open("rb") as file:
        html = mammoth.convert_to_html(file, convert_image=lambda image: []).value
    found.add(html_to_markdown(html))


def read_xlsx(path: Path, found: LimitedText) -> None:
    """Read each sheet of a workbook as a heading and lines of comma-separated values, without empty rows."""
    import openpyxl

    # An open file, because openpyxl refuses a path without the ending of its format.
    with (
        path.open("rb") as file,
        contextlib.closing(openpyxl.load_workbook(file, read_only=True, data_only=True)) as book,
    ):
        for sheet in book.worksheets:
            found.add(f"## {sheet.title}\n\n")
            # A sheet may state dimensions that it does not have.
            sheet.reset_dimensions()
            for row in sheet.iter_rows(values_only=True):
                if found.full:
                    return
                if line := _csv_line(row):
                    found.add(line)
            found.add("\n")


def _csv_line(row: tuple[object, ...]) -> str:
    """Return a row as one line of CSV, "" if it is empty."""
    values = ["" if value is None else str(value) for value in row]
    while values and not values[-1]:
        values.pop()
    if not values:
        return ""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(values)
    return out.getvalue()


def read_epub(path: Path, found: LimitedText) -> None:
    """Read the chapters of a book in their order. Raises Unreadable if it is encrypted."""
    with zipfile.ZipFile(path) as book:
        names = set(book.namelist())
        if "META-INF/rights.xml" in names:
            raise Unreadable("is protected by its publisher, so its text cannot be read. Attach another copy.")
        root = next(ElementTree.fromstring(book.read("META-INF/container.xml")).iter(_CONTAINER)).get("full-path", "")
        package = ElementTree.fromstring(book.read(root))
        hrefs = {item.get("id"): item.get("href", "") for item in package.iter(f"{_OPF}item")}
        for reference in package.iter(f"{_OPF}itemref"):
            href = hrefs.get(reference.get("idref"), "")
            name = posixpath.normpath(posixpath.join(posixpath.dirname(root), unquote(href)))
            if found.full:
                return
            if name in names:
                found.add(f"{html_to_markdown(book.read(name).decode('utf-8', 'replace'))}\n")
