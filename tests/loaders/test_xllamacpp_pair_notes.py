"""A reranker whose scores llama.cpp computes otherwise than the original says so."""

from __future__ import annotations

from typing import Any

import pytest

from loaders.xllamacpp.reranking import pair_notes
from modules.worker.llama.gguf_keys import GgufKeys

WORDPIECE = {"tokenizer.ggml.model": "bert"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"tokenizer.ggml.model": "t5", "tokenizer.ggml.token_type_count": 1}, ""),
        ({**WORDPIECE, "tokenizer.ggml.token_type_count": 2}, "one segment"),
        ({**WORDPIECE, "tokenizer.ggml.token_type_count": 1}, "last [SEP]"),
        ({**WORDPIECE, "tokenizer.ggml.add_eos_token": True}, ""),
    ],
    ids=["sentencepiece", "two-types", "one-type", "end-token"],
)
def test_the_note_says_what_differs(values: dict[str, Any], expected: str) -> None:
    notes = pair_notes(GgufKeys(values))
    assert len(notes) == bool(expected)
    assert all(expected in note and "Transformers loader" in note for note in notes)
