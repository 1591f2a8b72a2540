"""Converting tokens to text while streaming. Runs in a Transformers loader's environment."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("transformers", reason="runs in the environment of a Transformers loader")

from modules.worker.hf.detokenizer import TokenDecoder  # noqa: E402
from tests.worker.hf_tiny import byte_level, sentence_pieces, wrapped  # noqa: E402

TEXTS = [
    "The quick brown fox",
    "  two spaces,\n\nbreaks\tand tabs ",
    "Grüße, Привет, 你好，世界。 日本語 ไทย",
    "🙂🚀👩‍👩‍👧‍👦 é",
    "never seen: ꙮ ߷ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
]


def word_pieces() -> Any:
    """Return a tokenizer whose text only its own decoder can produce."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = ["[UNK]", "<s>", "</s>", "the", "fox", "##es", "run", "##ning", "你"]
    tokenizer = Tokenizer(models.WordPiece({word: at for at, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


@pytest.fixture(scope="module", params=["bytes", "pieces"])
def text(request: pytest.FixtureRequest) -> TokenDecoder:
    made = TokenDecoder(wrapped(byte_level() if request.param == "bytes" else sentence_pieces()))
    assert made.kind == request.param
    return made


@pytest.mark.parametrize("words", TEXTS)
def test_streamed_pieces_are_whole_characters_and_join_to_the_text(text: TokenDecoder, words: str) -> None:
    stream = text.stream(skip_special=True, at_start=True)
    tokens = text.encode(words, special_names=False)
    pieces = [stream.push(token) for token in tokens]
    assert not any("\ufffd" in piece for piece in pieces)
    assert "".join(pieces) + stream.finish() == words


def test_a_character_is_returned_with_its_last_token(text: TokenDecoder) -> None:
    stream = text.stream(skip_special=True, at_start=True)
    tokens = text.encode("𝔘", special_names=False)
    assert len(tokens) >= 4
    assert [stream.push(token) for token in tokens][-1] == "𝔘"


def test_an_incomplete_character_is_left_out(text: TokenDecoder) -> None:
    stream = text.stream(skip_special=True, at_start=True)
    shown = [stream.push(token) for token in text.encode("a𝔘", special_names=False)[:-1]]
    assert "".join(shown) == "a"
    assert stream.finish() == ""


def test_a_reply_after_a_prompt_keeps_its_leading_space(text: TokenDecoder) -> None:
    stream = text.stream(skip_special=True, at_start=False)
    tokens = text.encode(" the" if text.kind == "bytes" else "the", special_names=False)
    assert "".join(stream.push(token) for token in tokens) == " the"


def test_special_tokens_are_hidden_or_named(text: TokenDecoder) -> None:
    tokens = text.encode("a<|im_end|>", special_names=True)
    for skip, expected in ((True, "a"), (False, "a<|im_end|>")):
        stream = text.stream(skip_special=skip, at_start=True)
        assert "".join(stream.push(token) for token in tokens) == expected


def test_names_of_special_tokens_in_plain_text_stay_text(text: TokenDecoder) -> None:
    tokens = text.encode("<|im_end|>", special_names=False)
    assert not set(tokens) & text.special
    assert text.decode(tokens, skip_special=True).strip() == "<|im_end|>"


def test_unknown_tokens_give_no_text(text: TokenDecoder) -> None:
    assert text.stream(skip_special=True, at_start=True).push(100_000) == ""


def test_other_tokenizers_are_decoded_in_a_window_that_stays_short() -> None:
    text = TokenDecoder(wrapped(word_pieces()))
    assert text.kind == "decode"
    stream = text.stream(skip_special=True, at_start=True)
    tokens = text.encode("the foxes running 你", special_names=False) * 20
    shown = "".join(stream.push(token) for token in tokens) + stream.finish()
    assert shown == text.decode(tokens, skip_special=True)
    assert len(stream._window) < 4  # type: ignore[attr-defined]
