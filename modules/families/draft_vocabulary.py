"""Which vocabularies a model and its draft model may have. Standard library only."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

# llama.cpp (common/speculative.cpp): so many tokens may be in one of two vocabularies alone, at its end, and of the
# first ones the names do not count. The same difference is allowed for folders, where all names count.
MOST_DIFFERENT = 128
_FIRST_COMPARED = 5
# The type of a token (ggml-org/llama.cpp, llama_token_type).
_UNUSED = 5
# No model has more.
_MOST_TOKENS = 4_000_000

# What llama.cpp assumes where a file does not say it (src/llama-vocab.cpp): the token before a text and the one after
# it, and whether they are added.
_DEFAULTS = {"llama": (1, 2, True, False), "plamo2": (1, 2, False, False), "bert": (101, -1, True, False)}
_DEFAULTS |= {"gpt2": (11, 11, False, False), "t5": (-1, 1, False, True)}
_ADD_BOS = frozenset(
    (
        *("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano"),
        *("tekken", "chameleon"),
    )
)


@dataclass(frozen=True)
class DraftVocabulary:
    """What is compared of a vocabulary.

    `size`: number of tokens. `kind`: what else must be the same. `digests`: the last one is of all compared tokens, the
    one before it of all but the last token, and so on, as many as may differ. `unused`: how many tokens at the end are
    marked as unused, which pad a vocabulary.
    """

    size: int
    kind: tuple[object, ...]
    digests: tuple[bytes, ...]
    unused: int = 0

    def fits(self, other: DraftVocabulary, most: int = MOST_DIFFERENT, *, unused_only: bool = False) -> bool:
        """Return True if the tokens are the same but for up to `most` at the end of one of both.

        `unused_only`: only tokens that are marked as unused may differ.
        """
        shorter, longer = sorted((self, other), key=lambda one: one.size)
        shared, more = shorter.size, longer.size - shorter.size
        if self.kind != other.kind or more > (min(most, longer.unused) if unused_only else most):
            return False
        mine, theirs = (one.digests[shared - one.size - 1] for one in (self, other))
        return mine == theirs


def gguf_kind(metadata: Mapping[str, object], count: int) -> tuple[object, ...]:
    """Return DraftVocabulary.kind of a GGUF file with these keys and `count` tokens."""
    name = str(metadata.get("tokenizer.ggml.model", ""))
    bos, eos, add_bos, add_eos = _DEFAULTS.get(name, (-1, -1, False, False))
    add_bos = add_bos or metadata.get("tokenizer.ggml.pre") in _ADD_BOS
    bos, eos = (
        given if isinstance(given := metadata.get(f"tokenizer.ggml.{key}_token_id"), int) and given < count else usual
        for key, usual in (("bos", bos), ("eos", eos))
    )
    add_bos, add_eos = (
        bool(metadata.get(f"tokenizer.ggml.add_{key}_token", usual))
        for key, usual in (("bos", add_bos), ("eos", add_eos))
    )
    return (name, add_bos and bos, add_bos, add_eos and eos, add_eos)


def gguf_digests(texts: Iterable[bytes], count: int) -> tuple[bytes, ...]:
    """Return DraftVocabulary.digests of the `count` names of the tokens of a GGUF file."""
    return _digests(texts, count, _FIRST_COMPARED)


def unused_at_end(types: Sequence[int]) -> int:
    """Return how many of the last tokens are marked as unused, by their types in a GGUF file."""
    return next((at for at, kind in enumerate(reversed(types)) if kind != _UNUSED), len(types))


def folder_vocabulary(ids: Mapping[str, int]) -> DraftVocabulary:
    """Return the vocabulary of a tokenizer, from the ids of its tokens."""
    named = {token: text for text, token in ids.items()}
    count = max(named, default=-1) + 1
    # An id without a name is another one than an id with the empty name.
    texts = (f"={named[token]}".encode(errors="surrogatepass") if token in named else b"" for token in range(count))
    return DraftVocabulary(count, (), _digests(texts, count, 0))


def tokenizer_vocabulary(tokenizer: Mapping[str, object]) -> DraftVocabulary | None:
    """Return the vocabulary in the object of a tokenizer.json, None if it has none."""
    model, added = tokenizer.get("model"), tokenizer.get("added_tokens")
    tokens = model.get("vocab") if isinstance(model, dict) else None
    if isinstance(tokens, list):  # Unigram: pairs of a text and its score, by id
        tokens = {str(one[0]): at for at, one in enumerate(tokens) if isinstance(one, list) and one}
    if not isinstance(tokens, dict):
        return None
    entries = [one for one in added if isinstance(one, dict)] if isinstance(added, list) else []
    ids = {**tokens, **{str(one.get("content")): one.get("id") for one in entries}}
    return folder_vocabulary({text: token for text, token in ids.items() if _is_token(token)})


def _is_token(value: object) -> bool:
    """Return False for what only a damaged file has as an id."""
    return isinstance(value, int) and 0 <= value < _MOST_TOKENS


def _digests(texts: Iterable[bytes], count: int, first: int) -> tuple[bytes, ...]:
    digest, found = hashlib.sha256(), []
    for at, text in enumerate(texts):
        if at >= count - MOST_DIFFERENT:
            found.append(digest.digest())
        if at >= first:
            digest.update(len(text).to_bytes(8, "little") + text)
    return (*found, digest.digest())
