"""The store of attachments: bounded, whole or not at all, and safe against names from outside."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from modules.chat.attachments import attachment_store
from modules.chat.attachments.attachment_error import AttachmentError
from modules.chat.attachments.attachment_name import attachment_name
from modules.chat.attachments.attachment_store import AttachmentStore
from modules.chat.attachments.document_text import DocumentError
from tests.support.documents import write_docx, write_pdf


@pytest.fixture
def store(tmp_path: Path) -> AttachmentStore:
    return AttachmentStore(tmp_path / "attachments")


def picture(width: int = 4, height: int = 3, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "green").save(out, kind)
    return out.getvalue()


def _huge_png(side: int) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_is_stored_with_its_size_under_its_hash(store: AttachmentStore, kind: str) -> None:
    data = picture(kind=kind)
    found = store.add(data, "photo")
    assert (found.mime, found.size, found.width, found.height) == (f"image/{kind.lower()}", len(data), 4, 3)
    assert found.is_image
    assert store.path(found.hash).read_bytes() == data
    assert store.path(found.hash).stem == found.hash


def test_a_document_is_stored_with_its_text(store: AttachmentStore, tmp_path: Path) -> None:
    pdf = write_pdf(tmp_path / "paper.pdf", ["The heron stands."]).read_bytes()
    found = store.add(pdf, "paper.pdf")
    assert (found.mime, store.path(found.hash).suffix) == ("application/pdf", ".pdf")
    assert "heron" in store.text(found.hash, "paper.pdf").text
    # The text is read again where it is lost.
    next(store.folder.glob("*.text.json")).unlink()
    assert "heron" in store.text(found.hash, "paper.pdf").text
    docx = write_docx(tmp_path / "a.docx", "Birds", "One.", ["two"]).read_bytes()
    assert store.add(docx, "a.docx").mime.endswith("wordprocessingml.document")
    assert store.add(b"# Title", "notes.md").mime == "text/markdown"
    assert store.add(b"a,b\n1,2", "table.CSV").mime == "text/csv"
    page = store.add(b"<!doctype html><script>x</script><p>Text", "page.html")
    # No file here has an ending that a browser or a system runs.
    assert (page.mime, store.path(page.hash).suffix) == ("text/html", ".txt")
    assert store.text(page.hash, "page.html").text.strip() == "Text"


def test_the_same_content_is_stored_once(store: AttachmentStore) -> None:
    one, other = store.add(b"some text", "one.txt"), store.add(b"some text", "other.txt")
    assert (one.hash, one.name, other.name) == (other.hash, "one.txt", "other.txt")
    assert len(list(store.folder.glob("*.txt"))) == 1


def test_what_cannot_be_attached_is_refused_with_a_sentence(
    store: AttachmentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attachment_store, "MOST_BYTES", 5000)
    monkeypatch.setattr(attachment_store, "MOST_IMAGE_BYTES", 5000)
    scanned = write_pdf(tmp_path / "scan.pdf", ["", ""]).read_bytes()
    locked = write_pdf(tmp_path / "locked.pdf", ["Secret."], password="x").read_bytes()
    cases = {
        "is empty": b"",
        "more than 0 MB": b"x" * 5001,
        "no text: its pages are pictures": scanned,
        "protected by a password": locked,
        "50,000 × 50,000 pixels": _huge_png(50_000),
        "is damaged": picture(40, 40)[:60],
        "no text file": b"\0\1\2\3",
    }
    for sentence, data in cases.items():
        with pytest.raises((AttachmentError, DocumentError), match=sentence) as caught:
            store.add(data, "file.bin")
        assert caught.value.message.startswith("file.bin ") and caught.value.message.endswith(".")
    assert not store.folder.exists()


def test_a_full_disk_is_a_sentence_and_leaves_nothing(store: AttachmentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AttachmentError, match=r"notes\.txt could not be stored \(No space left on device\)\. Free"):
        store.add(b"some text", "notes.txt")
    assert not list(store.folder.iterdir())


@pytest.mark.parametrize("hash", ["../secret", "", "a" * 63, "A" * 64, f"{'a' * 64}.png", "..", f"../{'a' * 61}"])
def test_a_hash_from_outside_never_leads_out_of_the_folder(store: AttachmentStore, tmp_path: Path, hash: str) -> None:
    (tmp_path / "secret").write_text("s")
    store.folder.mkdir()
    with pytest.raises(AttachmentError, match="Attach it again"):
        store.path(hash)


def test_names_are_plain() -> None:
    assert attachment_name("../../etc/passwd") == "passwd"
    assert attachment_name("C:\\Users\\x\\a.txt") == "a.txt"
    assert attachment_name("a\u202efdp\n.exe\ud800") == "afdp.exe\ufffd"
    assert attachment_name("..") == ".." and attachment_name("/") == attachment_name(" ") == "file"
    assert attachment_name(f"{'a' * 300}.pdf") == f"{'a' * 196}.pdf"
    assert attachment_name(f"{'猫' * 100}.pdf") == f"{'猫' * 75}.pdf", "230 bytes at most"


def test_only_old_files_that_no_message_names_are_removed(tmp_path: Path) -> None:
    now = [1e9]
    store = AttachmentStore(tmp_path / "attachments", lambda: now[0])
    assert store.remove_unused(set()) == 0
    kept, unused = store.add(b"kept", "a.txt"), store.add(b"unused", "b.txt")
    (store.folder / "mine.txt").write_text("not a file of the store")
    for path in store.folder.iterdir():
        os.utime(path, (now[0], now[0]))
    assert store.remove_unused({kept.hash}) == 0
    now[0] += attachment_store.DRAFT_SECONDS + 1
    assert store.remove_unused({kept.hash}) == 2  # the file and its text
    assert store.path(kept.hash).exists() and (store.folder / "mine.txt").exists()
    with pytest.raises(AttachmentError):
        store.path(unused.hash)


def test_attaching_again_keeps_a_file_for_another_day(tmp_path: Path) -> None:
    now = [1e9]
    store = AttachmentStore(tmp_path / "attachments", lambda: now[0])
    store.add(b"text", "a.txt")
    now[0] += attachment_store.DRAFT_SECONDS + 1
    found = store.add(b"text", "a.txt")
    store.remove_unused(set())
    assert store.path(found.hash).exists()
