"""Converts tokens to text as it streams: exactly, at a constant cost per token, in whole characters."""

from __future__ import annotations

import codecs
import json
import threading
from typing import TYPE_CHECKING, Protocol

from modules.families.reasoning import visible_tokens
from modules.worker.recent_prompts import remember_prompts
from modules.worker.unused_tokens import is_unused_token

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Tokens after which an unfinished character is given up. A UTF-8 character has at most four bytes.
_LONGEST_WAIT = 8


class TextStream(Protocol):
    """Converts tokens to text: `push` returns the characters that a token completes, `finish` returns the rest."""

    def push(self, token: int) -> str: ...

    def finish(self) -> str: ...


def _byte_alphabet() -> dict[str, int]:
    """Return character -> byte of byte-level BPE (Radford et al. 2019, GPT-2): printable bytes are themselves, others
    are the characters from U+0100 on, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{chr(byte): byte for byte in printable}, **{chr(0x100 + at): byte for at, byte in enumerate(others)}}


class TokenDecoder:
    """The bytes behind each token of a Hugging Face tokenizer, fast (tokenizers) or slow (sentencepiece).

    `kind`: "bytes" (byte-level BPE), "pieces" (SentencePiece and similar, with byte fallback), or "decode" for other
    tokenizers, whose text is decoded in a bounded window.

    `template`: the model's chat template. Special tokens that mark reasoning in it are shown as text (`visible`).
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, template: str = "") -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._lock = threading.Lock()
        self._bytes: dict[int, bytes] = {}
        self._alphabet = _byte_alphabet()
        self._added = {token: str(added) for token, added in tokenizer.added_tokens_decoder.items()}
        self._printed: dict[int, bytes] = {}
        self.names = frozenset(self._added.values())
        named = visible_tokens(self.names, template)
        self.visible = frozenset(token for token, name in self._added.items() if name in named)
        self.special = (
            frozenset(
                [token for token, added in tokenizer.added_tokens_decoder.items() if added.special]
                + list(tokenizer.all_special_ids)
            )
            - self.visible
        )
        # Unless it has another meaning too.
        others = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}
        self._padding = {tokenizer.pad_token_id} - others - self.visible
        self.kind = _kind(tokenizer)
        self._encode_prompt = remember_prompts(lambda text: self._encode(text, split_special_tokens=False))

    def stream(self, skip_special: bool, at_start: bool) -> TextStream:
        """Return a stream for one reply. `at_start`: no text precedes it: drop SentencePiece's leading space."""
        if self.kind == "decode":
            return _WindowStream(self, skip_special)
        return _ByteStream(self, skip_special, at_start and self.kind == "pieces")

    def bytes_of(self, token: int) -> bytes:
        """Return the bytes that `token` adds to a text. A special token adds its name."""
        known = self._bytes.get(token)
        if known is None:
            known = self._bytes[token] = self._look_up(token)
        return known

    def printed(self, token: int) -> bytes:
        """Return the same, but no bytes for a token that only fills up the vocabulary."""
        known = self._printed.get(token)
        if known is None:
            name = str(self._tokenizer.convert_ids_to_tokens(token) or "")
            unused = token in self._padding or is_unused_token(name, self._template)
            known = self._printed[token] = b"" if unused else self.bytes_of(token)
        return known

    def decode(self, tokens: list[int], skip_special: bool) -> str:
        """Return the tokenizer's decoding. Only one thread decodes at a time."""
        with self._lock:
            text = self._tokenizer.decode(tokens, skip_special_tokens=skip_special, clean_up_tokenization_spaces=False)
        return str(text)

    def encode(self, text: str, special_names: bool) -> list[int]:
        """Return the token ids of `text` without BOS. `special_names`: names of special tokens in it are those tokens.

        The ids of the latest prompts are remembered: a prompt is counted before a reply, and read for it.
        """
        return self._encode_prompt(text) if special_names else self._encode(text, split_special_tokens=True)

    def _encode(self, text: str, split_special_tokens: bool) -> list[int]:
        with self._lock:
            return list(
                self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=split_special_tokens)
            )

    def prefix(self) -> list[int]:
        """Return the tokens that the tokenizer adds before a text: [BOS] or none."""
        with self._lock:
            full = list(self._tokenizer("a", add_special_tokens=True)["input_ids"])
            plain = list(self._tokenizer("a", add_special_tokens=False)["input_ids"])
        for at in range(len(full) - len(plain) + 1):
            if full[at : at + len(plain)] == plain:
                return full[:at]
        return []

    def _look_up(self, token: int) -> bytes:
        if token in self._added:
            return self._added[token].encode()
        piece = self._tokenizer.convert_ids_to_tokens(token)
        if piece is None:  # Models often have more rows than the tokenizer has tokens.
            return b""
        if self.kind == "bytes":
            return b"".join(
                bytes([self._alphabet[char]]) if char in self._alphabet else char.encode() for char in piece
            )
        if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            return bytes([int(piece[3:5], 16)])
        return str(piece).replace("\u2581", " ").encode()


def _kind(tokenizer: object) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return "pieces" if hasattr(tokenizer, "sp_model") else "decode"
    if backend.decoder is None:
        return "decode"
    state = json.loads(backend.decoder.__getstate__())
    parts = state.get("decoders", [state])
    names = {part["type"] for part in parts}
    if names == {"ByteLevel"}:
        return "bytes"
    # Replace is SentencePiece's mark for a space. Other replacements are not supported.
    known = names <= {"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"} and names & {"Replace", "Metaspace"}
    plain = all(part.get("content") == " " for part in parts if part["type"] in ("Replace", "Strip"))
    return "pieces" if known and plain else "decode"


class _ByteStream:
    """Decodes bytes to whole characters. Bytes that are not valid UTF-8 are left out."""

    def __init__(self, text: TokenDecoder, skip_special: bool, drop_space: bool) -> None:
        self._text = text
        self._skip = text.special if skip_special else frozenset()
        self._drop_space = drop_space
        self._decoder = codecs.getincrementaldecoder("utf-8")("ignore")

    def push(self, token: int) -> str:
        if token in self._skip:
            return ""
        data = self._text.printed(token)
        if self._drop_space and data:
            self._drop_space = False
            data = data[1:] if data.startswith(b" ") else data
        return self._decoder.decode(data)

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


class _WindowStream:
    """For other tokenizers: decodes the last few tokens with and without the newest, and returns the difference."""

    def __init__(self, text: TokenDecoder, skip_special: bool) -> None:
        self._text = text
        self._skip = skip_special
        self._window: list[int] = []
        self._settled = 0

    def push(self, token: int) -> str:
        if token in self._text.visible:
            return self._marker(token)
        if not self._text.printed(token):
            return ""
        self._window.append(token)
        return self._new(hold=len(self._window) - self._settled < _LONGEST_WAIT)

    def finish(self) -> str:
        return self._new(hold=False)

    def _marker(self, token: int) -> str:
        """Return the text of a special token that is shown. Decoding would leave it out."""
        before = self._new(hold=False)
        self._window, self._settled = [], 0
        return before + self._text.printed(token).decode("utf-8", "replace")

    def _new(self, hold: bool) -> str:
        before = self._text.decode(self._window[: self._settled], self._skip)
        text = self._text.decode(self._window, self._skip)
        if hold and text.endswith("\ufffd"):
            return ""
        self._window = self._window[self._settled :]
        self._settled = len(self._window)
        return text[len(before) :].replace("\ufffd", "")
