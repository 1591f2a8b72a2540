"""Passages of documents: whole, in order, within pages, and with the right line."""

from __future__ import annotations

import pytest

from modules.chat.attachments.passages import words_of
from modules.chat.knowledge.chunks import split_document

_SENTENCE = "The quick brown fox jumps over the lazy dog. "


@pytest.mark.parametrize(
    "text",
    [
        _SENTENCE * 50,
        "\n\n".join([_SENTENCE * 3] * 20),
        "word " * 1000,
        "漢字" * 300,
        "x" * 5000,
        "  \n one",
        "a. b. c. " * 200,
    ],
    ids=["sentences", "paragraphs", "no stops", "han", "one word", "one", "short sentences"],
)
def test_passages_hold_every_word_once_and_none_is_too_long(text: str) -> None:
    chunks = split_document(text, size=30)
    pieces = [text[chunk.start : chunk.end] for chunk in chunks]
    assert [word for piece in pieces for word in words_of(piece)] == words_of(text)
    assert all(len(words_of(piece)) <= 30 for piece in pieces)
    assert all(first.end <= second.start for first, second in zip(chunks, chunks[1:], strict=False))


def test_a_passage_ends_with_a_paragraph_or_a_sentence() -> None:
    text = f"{_SENTENCE * 2}\n\n{_SENTENCE * 6}"
    pieces = [text[chunk.start : chunk.end] for chunk in split_document(text, size=25)]
    assert pieces[0] == (_SENTENCE * 2).strip()
    assert all(piece.endswith(".") for piece in pieces)


def test_no_passage_crosses_a_page() -> None:
    pages = ["first page here\n\n", "", "third page\n\n", "fourth"]
    starts = [sum(map(len, pages[:place])) for place in range(len(pages))]
    text = "".join(pages)
    found = [(text[chunk.start : chunk.end], chunk.page) for chunk in split_document(text, starts)]
    assert found == [("first page here", 1), ("third page", 3), ("fourth", 4)]


def test_lines_count_from_one() -> None:
    text = "\n\nalpha\nbeta\n\ngamma\n"
    found = [(text[chunk.start : chunk.end], chunk.line) for chunk in split_document(text, size=1)]
    assert found == [
        ("alpha", 3),
        ("beta", 4),
        ("gamma", 6),
    ]


def test_text_without_words_has_no_passages() -> None:
    assert split_document("--- \n *** \n") == []
