"""Tokenizes prompts with llama.cpp, with spaces where the model's own tokenizer adds them.

With a SentencePiece vocabulary llama.cpp adds a space before the first text and after each special token, and cannot
be changed after the load. Where the model's own tokenizer adds none, a mark character that no vocabulary contains is
inserted before the text. llama.cpp adds its space before the mark, and the ids of both, which are known, are removed.
No token extends across the mark, because no token contains it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from modules.worker.llama.gguf_keys import GgufKeys
from modules.worker.llama.space_prefix import SpacePrefix, is_sentencepiece, space_prefix
from modules.worker.recent_prompts import remember_prompts

# tokenize(text, add_special, parse_special) of llama.cpp.
Tokenize = Callable[[str, bool, bool], list[int]]

# Unicode's noncharacters: in no vocabulary, and rarely in a text.
_MARKS = [chr(code) for code in range(0xFDD0, 0xFDF0)]
# llama.cpp's space, and a mark's three bytes.
_MARK_TOKENS = 4


class LlamaTokenizer:
    """The tokenizer of the GGUF file `path` with the metadata `keys`. `prefix`: the tokens before a prompt, [BOS] or
    none. `suffix`: those behind a text that is read as a whole, such as [EOS], or none."""

    def __init__(self, tokenize: Tokenize, path: Path, keys: GgufKeys) -> None:
        self._tokenize = tokenize
        self._rule: SpacePrefix | None = None
        # Without byte tokens llama.cpp cannot tokenize a mark.
        if is_sentencepiece(keys) and keys.values.get("tokenizer.ggml.add_space_prefix", True) and keys.byte_tokens:
            self._rule = space_prefix(path, keys)
        self._special = _pattern((*keys.control, *keys.unknown, *keys.user_defined))
        self._user_defined = _pattern(keys.user_defined)
        self._marks: dict[str, list[int]] = {}
        self._prompt_ids = remember_prompts(lambda text: self._ids(text, True))
        bare, whole = tokenize("a", False, False), tokenize("a", True, False)
        places = range(len(whole) - len(bare) + 1)
        start = next((at for at in places if whole[at : at + len(bare)] == bare), None)
        self.prefix = whole[:start] if start else []
        self.suffix = [] if start is None else whole[start + len(bare) :]

    def ids(self, text: str, special: bool) -> list[int]:
        """Return the token ids of `text` without BOS. `special`: names of special tokens in it are those tokens.

        The ids of the latest prompts are remembered: a prompt is counted before a reply, and read for it.
        """
        return self._prompt_ids(text) if special else self._ids(text, False)

    def _ids(self, text: str, special: bool) -> list[int]:
        marked, mark = self._with_marks(text, special)
        return self._without_marks(self._tokenize(marked, False, special), mark)

    def lengths(self, texts: Sequence[str], tokenize: Callable[[list[str]], list[list[int]]]) -> list[int]:
        """Return how many tokens each text has without BOS. `tokenize` returns llama.cpp's ids of each text."""
        marked = [self._with_marks(text, False) for text in texts]
        found = tokenize([text for text, _ in marked])
        return [len(self._without_marks(ids, mark)) for ids, (_, mark) in zip(found, marked, strict=True)]

    def prompt(self, text: str, add_bos: bool) -> list[int]:
        """Return the token ids of a prompt, with BOS once, because a chat template may contain it."""
        tokens = self.ids(text, True)
        if add_bos and tokens[: len(self.prefix)] != self.prefix:
            return self.prefix + tokens
        return tokens

    def whole(self, text: str) -> list[int]:
        """Return the token ids of a text that is read as a whole, with the tokens that the model expects around it."""
        return [*self.prefix, *self.ids(text, True), *self.suffix]

    def _with_marks(self, text: str, special: bool) -> tuple[str, str]:
        """Return a text for llama.cpp, and the mark that is in it, or ""."""
        mark = self._mark(text)
        if not mark:
            return text, ""
        marked = "".join(self._marked(text, self._special if special else self._user_defined, mark))
        return marked, "" if marked == text else mark

    def _without_marks(self, tokens: list[int], mark: str) -> list[int]:
        return _without(tokens, self._marks[mark]) if mark else tokens

    def _mark(self, text: str) -> str:
        """Return a mark character that `text` does not contain, or "" if none is needed or available."""
        if self._rule is None or not text:
            return ""
        for mark in _MARKS:
            if mark not in text:
                if mark not in self._marks:
                    self._marks[mark] = self._tokenize(mark, False, False)
                if len(self._marks[mark]) == _MARK_TOKENS:
                    return mark
        return ""

    def _marked(self, text: str, special: re.Pattern[str] | None, mark: str) -> Iterator[str]:
        """Yield the parts of `text`, with `mark` before those that get no space."""
        assert self._rule is not None
        at = 0
        for found in special.finditer(text) if special else ():
            yield self._part(text[at : found.start()], at == 0, mark)
            yield found[0]
            at = found.end()
        yield self._part(text[at:], at == 0, mark)

    def _part(self, part: str, at_start: bool, mark: str) -> str:
        assert self._rule is not None
        return part if not part or self._rule.wanted(part, at_start) else mark + part


def _pattern(names: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern that finds the longest name first, as llama.cpp does, or None without names."""
    listed = sorted({name for name in names if name}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, listed))) if listed else None


def _without(tokens: list[int], mark: list[int]) -> list[int]:
    """Return `tokens` without the ids of marks."""
    kept: list[int] = []
    at, length = 0, len(mark)
    try:
        while True:
            # Its space may be anywhere; its first byte is rare.
            found = tokens.index(mark[1], at + 1) - 1
            if tokens[found : found + length] == mark:
                kept += tokens[at:found]
                at = found + length
            else:
                kept += tokens[at : found + 2]
                at = found + 2
    except ValueError:
        return kept + tokens[at:]
