"""Makes small documents of each format that people attach."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

_WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"


def write_zip(path: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write an archive with these files, and return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def write_pdf(path: Path, pages: Sequence[str], password: str = "", unicode: Mapping[str, str] | None = None) -> Path:
    """Write a PDF with one line of text a page ("": a page without text), and return its path.

    `unicode`: letters of the text -> what its font says that they mean, as hexadecimal UTF-16.
    """
    from pypdf import PdfReader, PdfWriter

    objects = ["<< /Type /Catalog /Pages 2 0 R >>"]
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects.append(f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>")
    map_of_font = f"/ToUnicode {4 + 2 * len(pages)} 0 R " if unicode else ""
    objects.append(f"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica {map_of_font}>>")
    for number, text in enumerate(pages):
        content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET" if text else ""
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    if unicode:
        lines = "\n".join(f"<{ord(letter):02x}> <{meaning}>" for letter, meaning in unicode.items())
        table_of_letters = f"{len(unicode)} beginbfchar\n{lines}\nendbfchar"
        objects.append(f"<< /Length {len(table_of_letters)} >>\nstream\n{table_of_letters}\nendstream")
    raw = io.BytesIO(b"%PDF-1.4\n")
    raw.seek(0, io.SEEK_END)
    places = []
    for number, text in enumerate(objects, 1):
        places.append(raw.tell())
        raw.write(f"{number} 0 obj\n{text}\nendobj\n".encode())
    table = raw.tell()
    raw.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    raw.write("".join(f"{place:010} 00000 n \n" for place in places).encode())
    raw.write(f"trailer << /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode())
    if password:
        writer = PdfWriter(clone_from=PdfReader(raw))
        writer.encrypt(password, algorithm="RC4-128")
        raw = io.BytesIO()
        writer.write(raw)
    path.write_bytes(raw.getvalue())
    return path


def write_docx(path: Path, title: str, paragraph: str, row: Sequence[str]) -> Path:
    """Write a Word document with a heading, a paragraph and a table of one row, and return its path."""
    cells = "".join(f"<w:tc><w:p><w:r><w:t>{cell}</w:t></w:r></w:p></w:tc>" for cell in row)
    body = (
        f'<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>{title}</w:t></w:r></w:p>'
        f"<w:p><w:r><w:t>{escape(paragraph)}</w:t></w:r></w:p><w:tbl><w:tr>{cells}</w:tr></w:tbl>"
    )
    types = (
        f'<Types xmlns="{_TYPES}"><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Override '
        'PartName="/word/document.xml" ContentType="application/vnd.openxmlformats-officedocument.'
        'wordprocessingml.document.main+xml"/></Types>'
    )
    relations = (
        f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/'
        'officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>'
    )
    styles = (
        f'<w:styles {_WORD}><w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/></w:style>'
        "</w:styles>"
    )
    document_relations = (
        f'<Relationships xmlns="{_RELATIONS}"><Relationship Id="r1" Type="http://schemas.openxmlformats.org/'
        'officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>'
    )
    return write_zip(
        path,
        {
            "[Content_Types].xml": types,
            "_rels/.rels": relations,
            "word/document.xml": f"<w:document {_WORD}><w:body>{body}</w:body></w:document>",
            "word/_rels/document.xml.rels": document_relations,
            "word/styles.xml": styles,
        },
    )


def write_xlsx(path: Path, sheets: Mapping[str, Sequence[Sequence[object]]]) -> Path:
    """Write a workbook of these sheets, and return its path."""
    import openpyxl

    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(list(row))
    book.save(path)
    return path


def write_epub(path: Path, chapters: Sequence[str], **more: str) -> Path:
    """Write a book of these chapters (HTML of their bodies), and return its path. `more`: further files."""
    numbers = range(len(chapters))
    items = "".join(f'<item id="c{number}" href="text/c{number}.xhtml"/>' for number in numbers)
    spine = "".join(f'<itemref idref="c{number}"/>' for number in numbers)
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    )
    package = (
        f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{spine}</spine></package>'
    )
    return write_zip(
        path,
        {
            "META-INF/container.xml": container,
            "OEBPS/book.opf": package,
            **{
                f"OEBPS/text/c{number}.xhtml": f"<html><head><title>no</title></head><body>{text}</body></html>"
                for number, text in enumerate(chapters)
            },
            **more,
        },
    )
