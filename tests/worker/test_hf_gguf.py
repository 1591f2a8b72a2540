"""A GGUF file in Transformers has the same tokens as the folder that it was made from."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("gguf", reason="runs in the environment of the Transformers loader")

from loaders.transformers.spec import Settings
from loaders.transformers.worker import Engine

MODELS = Path(__file__).resolve().parents[2] / "models"
TEXTS = (
    "Hello you",
    " two  spaces",
    "<|im_start|>user\nWhat is GGUF?<|im_end|>\n<|im_start|>assistant\n",
    "ünïcode 漢字 😀\n\n x",
)


def test_gguf_tokens_equal_the_folders() -> None:
    folder, file = Engine(), Engine()
    folder.load(MODELS / "demo", Settings(), lambda text, fraction: None)
    file.load(MODELS / "demo.Q8_0.gguf", Settings(), lambda text, fraction: None)
    for text in TEXTS:
        tokens = file.tokenize(text, False)
        assert tokens == folder.tokenize(text, False)
        assert file.detokenize(tokens) == text
