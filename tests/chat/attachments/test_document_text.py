"""The text of documents, and what a person reads about those that have none."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from modules.chat.attachments.document_readers import read
from modules.chat.attachments.document_text import (
    DocumentError,
    DocumentUnreachable,
    read_document,
    read_document_bytes,
)
from modules.chat.attachments.limited_text import LimitedText
from modules.chat.attachments.text_readers import html_to_markdown
from tests.support.documents import write_docx, write_epub, write_pdf, write_xlsx, write_zip


def test_a_pdf_is_read_page_by_page(tmp_path: Path) -> None:
    found = read_document(write_pdf(tmp_path / "paper.pdf", ["The heron stands.", "", "It waits."]))
    assert (found.name, found.kind) == ("paper.pdf", "PDF")
    assert found.text.split() == ["The", "heron", "stands.", "It", "waits."]
    assert found.notes == ("1 of 3 pages have no text; they may be pictures.",)


def test_halves_of_characters_in_a_pdf_can_be_stored(tmp_path: Path) -> None:
    pages = ["aX", "XY b"]
    found = read_document(write_pdf(tmp_path / "math.pdf", pages, unicode={"X": "D835", "Y": "DC34"}))
    assert found.text == "a\ufffd\n\n\U0001d434 b\n\n"
    assert found.text[found.pages[1] :].startswith("\U0001d434")


def test_a_file_that_the_system_refuses_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(DocumentUnreachable, match=r"gone.txt cannot be read now \(No such file or directory\)\. Check"):
        read_document(tmp_path / "gone.txt")
    assert read(tmp_path / "gone.txt", "gone.txt") == {"refused": "No such file or directory"}, "in its process"


def test_a_word_document_keeps_headings_and_tables(tmp_path: Path) -> None:
    found = read_document(write_docx(tmp_path / "a.docx", "Herons", "They wade & wait.", ["legs", "two"]))
    assert found.kind == "DOCX"
    assert "# Herons" in found.text
    assert "They wade" in found.text
    assert "| legs | two |" in found.text


def test_each_sheet_of_a_workbook_is_read_as_csv(tmp_path: Path) -> None:
    birds: list[list[object]] = [["name", "legs"], ["heron, grey", 2], [], [None, None]]
    path = write_xlsx(tmp_path / "a.xlsx", {"Birds": birds, "Empty": []})
    found = read_document(path)
    assert read_document_bytes(path.read_bytes(), "a").text == found.text, "its name does not count"
    assert found.kind == "XLSX"
    assert '## Birds\n\nname,legs\n"heron, grey",2\n' in found.text
    assert "## Empty" in found.text


def test_the_chapters_of_a_book_keep_their_order(tmp_path: Path) -> None:
    found = read_document(write_epub(tmp_path / "b.epub", ["<h1>One</h1><p>Herons</p>", "<h1>Two</h1>"]))
    assert found.kind == "EPUB"
    assert found.text.index("# One") < found.text.index("Herons") < found.text.index("# Two")


def test_a_chapter_in_xhtml_begins_with_its_text(tmp_path: Path) -> None:
    markup = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE html>\n<html><head><title>No</title></head>'
        "<body><h1>One</h1>"
        '<p><math><mi>E</mi><annotation encoding="application/x-tex">E tex</annotation></math></p></body></html>'
    )
    assert html_to_markdown(markup) == "# One\n\nE\n"


def test_html_loses_what_no_reader_sees() -> None:
    page = b"<!DOCTYPE html><title>x</title><style>p{}</style><script>alert(1)</script><p>Seen <b>well</b></p>"
    found = read_document_bytes(page, "page")
    assert (found.kind, found.text.strip()) == ("HTML", "Seen **well**")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("grüße".encode(), "grüße"),
        ("\ufeffgrüße".encode(), "grüße"),
        ("grüße".encode("utf-16"), "grüße"),
        ("grüße".encode("utf-32"), "grüße"),
        ("grüße".encode("cp1252"), "grüße"),
    ],
)
def test_text_is_decoded(raw: bytes, text: str) -> None:
    assert read_document_bytes(raw, "a.txt").text == text


def test_an_encoding_that_was_guessed_is_noted() -> None:
    (note,) = read_document_bytes("grüße".encode("cp1252"), "a.txt").notes
    assert "not in UTF-8" in note


def test_a_format_is_found_by_content_whatever_the_name(tmp_path: Path) -> None:
    assert read_document(write_pdf(tmp_path / "a.txt", ["hidden"])).kind == "PDF"


def test_a_long_text_is_cut_and_noted() -> None:
    found = LimitedText(most=10)
    found.add("12345678")
    found.add("90ab")
    found.add("c")
    assert found.text == "1234567890"
    assert found.notes == ["Only the first 10 characters were read."]


def _bomb(path: Path) -> Path:
    """Write a PDF whose one page unpacks to a hundred megabytes."""
    packed = zlib.compress(b"BT (" + b" " * 100_000_000 + b") Tj ET", 9)
    head = (
        b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n"
        b"2 0 obj\n<< /Type /Pages /Kids [3 0 R] /Count 1 >>\nendobj\n"
        b"3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>\nendobj\n"
    )
    body = b"4 0 obj\n<< /Length %d /Filter /FlateDecode >>\nstream\n" % len(packed)
    path.write_bytes(head + body + packed + b"\nendstream\nendobj\ntrailer << /Root 1 0 R >>\n%%EOF\n")
    return path


def _whole(path: Path) -> bytes:
    return write_docx(path, "a", "b", ["c"]).read_bytes()


def _files(folder: Path) -> dict[str, Path]:
    """Write files that hold no text which can be read, by a word of the sentence about each."""
    (folder / "empty.txt").write_bytes(b" \n")
    (folder / "old.doc").write_bytes(bytes.fromhex("D0CF11E0A1B11AE1") + bytes(600))
    (folder / "cut.pdf").write_bytes(write_pdf(folder / "whole.pdf", ["text"]).read_bytes()[:60])
    (folder / "cut.docx").write_bytes(_whole(folder / "whole.docx")[:-200])
    (folder / "photo.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(90))
    (folder / "data.bin").write_bytes(bytes(range(256)))
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 40}">' for n in range(1, 9))
    (folder / "a.rtf").write_bytes(rb"{\rtf1\ansi Text}")
    laughs = f'<!DOCTYPE d [<!ENTITY e0 "ha">{entities}]><container>&e8;</container>'
    return {
        "no text": folder / "empty.txt",
        "protected by a password": write_pdf(folder / "locked.pdf", ["secret"], password="heron"),
        "Office before 2007": folder / "old.doc",
        "pages are pictures": write_pdf(folder / "scan.pdf", ["", ""]),
        "no whole PDF file": folder / "cut.pdf",
        "is damaged": folder / "cut.docx",
        "is a picture": folder / "photo.png",
        "is no text file": folder / "data.bin",
        "is an OpenDocument file": write_zip(
            folder / "a.odt", {"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": "<a/>"}
        ),
        "is in Rich Text Format": folder / "a.rtf",
        "is an archive": write_zip(folder / "a.zip", {"a.txt": "text"}),
        "by its publisher": write_epub(folder / "drm.epub", ["<p>x</p>"], **{"META-INF/rights.xml": "<r/>"}),
        "no whole EPUB file": write_zip(folder / "laughs.epub", {"META-INF/container.xml": laughs}),
        "no whole XLSX file": write_zip(folder / "half.xlsx", {"xl/workbook.xml": "<workbook/>"}),
    }


def test_a_document_without_readable_text_gets_a_sentence(tmp_path: Path) -> None:
    for words, path in _files(tmp_path).items():
        with pytest.raises(DocumentError) as found:
            read_document(path)
        assert found.value.message.startswith(path.name), words
        assert words in found.value.message
        assert found.value.message.endswith(".")


def test_a_bomb_costs_neither_memory_nor_time(tmp_path: Path) -> None:
    with pytest.raises(DocumentError):
        read_document(_bomb(tmp_path / "bomb.pdf"))
    bomb = tmp_path / "bomb.docx"
    xml = "<w:p>" * 100_000
    write_zip(bomb, {"word/document.xml": f"<d>{xml}</d>"})
    with pytest.raises(DocumentError):
        read_document(bomb)


def test_reading_ends_after_its_time(tmp_path: Path) -> None:
    path = write_pdf(tmp_path / "a.pdf", ["x"] * 3000)
    with pytest.raises(DocumentError, match="not read within"):
        read_document(path, seconds=0.01)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        file.truncate(60_000_000)
    with pytest.raises(DocumentError, match="more than 50 MB"):
        read_document(path)
