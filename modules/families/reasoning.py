"""Reasoning: the part of a reply that a model writes before its answer, between two markers.

A model's markers are in its chat template and in the names of its special tokens. A template may write the first marker
itself, so that the reply starts inside the reasoning. Standard library only: worker and host use it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modules.families.tool_markers import TOOL_MARKERS


@dataclass(frozen=True)
class Markers:
    """The texts around reasoning. `answer`: text between the end of the reasoning and the answer, part of neither."""

    start: str
    end: str
    answer: str = ""


@dataclass(frozen=True)
class ReplyPart:
    """A piece of a reply's reasoning or of its answer."""

    text: str
    reasoning: bool


# Formats without a general rule: OpenAI's harmony, Gemma 4, Apertus, MedGemma.
_KNOWN = (
    Markers("<|channel|>analysis<|message|>", "<|end|>", "<|start|>assistant<|channel|>final<|message|>"),
    Markers("<|channel>thought", "<channel|>"),
    Markers("<|inner_prefix|>", "<|inner_suffix|>"),
    Markers("<unused94>thought", "<unused95>"),
)
# Texts by which a template or vocabulary is recognized as one of them.
_SIGNS = ("<|channel|>", "<channel|>", "<|inner_suffix|>", "<unused95>")
_WORD = r"(?:think|thought|reason|analysis|scratchpad|reflect|ponder|deliberat)"
# <think>, <seed:think>; [THINK]; ◁think▷; <|think|>. The end has a slash.
_SLASHED = tuple(
    re.compile(rf"{open}(/?)([A-Za-z_][\w:.\-]*){close}")
    for open, close in ((r"<", r">"), (r"\[", r"\]"), ("◁", "▷"), (r"<\|", r"\|>"))
)
# <|START_THINKING|>, <|begin_of_thought|>, <|think_start|>. The end says "end".
_WORDED = re.compile(r"<\|(\w*?)(begin|start|end)(\w*)\|>", re.IGNORECASE)
# Tags that templates put around a whole reply.
_ROLES = frozenset(
    ("ai", "answer", "assistant", "bot", "gpt", "message", "model", "output", "reply", "response", "s", "text", "turn")
)


def find_markers(text: str) -> tuple[Markers, ...]:
    """Return the markers of which `text`, a chat template or token names, contains the start or the end, in order."""
    found = {markers: text.index(sign) for markers, sign in zip(_KNOWN, _SIGNS, strict=True) if sign in text}
    for pattern in _SLASHED:
        for match in pattern.finditer(text):
            if re.search(_WORD, match[2], re.IGNORECASE):
                whole, name = match[0], match[2]
                start = whole.replace(f"/{name}", name) if match[1] else whole
                pair = Markers(start, start.replace(name, f"/{name}"))
                # A word in square brackets is prose, unless it is in upper case.
                if not start.startswith("[") or name.isupper():
                    found.setdefault(pair, match.start())
    for match in _WORDED.finditer(text):
        before, word, after = match.groups()
        if re.search(_WORD, before + after, re.IGNORECASE):
            start_word = _start_word(text, before, after) if word.lower() == "end" else word
            pair = Markers(f"<|{before}{start_word}{after}|>", f"<|{before}{_end_word(start_word)}{after}|>")
            found.pop(Markers(pair.start, pair.start.replace("<|", "<|/")), None)
            found.pop(Markers(pair.end, pair.end.replace("<|", "<|/")), None)
            found.setdefault(pair, match.start())
    return tuple(sorted(found, key=lambda pair: found[pair]))


def _end_word(word: str) -> str:
    return "END" if word.isupper() else "end"


def _start_word(text: str, before: str, after: str) -> str:
    """Return the word in the start marker of a pair whose end was found, as in `text` if it is there."""
    names = (f"<|{before}{word}{after}|>" for word in ("begin", "BEGIN", "start", "START"))
    name = next((name for name in names if name in text), f"<|{before}start{after}|>")
    return name[len(before) + 2 : -len(after) - 2]


def visible_tokens(names: Iterable[str], template: str) -> frozenset[str]:
    """Return the special tokens of `names` that are a marker or part of one, and so must appear in a reply.

    Markers of tool calls count if the template is not empty: a model without one was not trained to call tools.
    """
    names = tuple(names)
    marked = "".join(f"{pair.start}{pair.end}{pair.answer}" for pair in find_markers(template + "".join(names)))
    tools = TOOL_MARKERS if template else ()
    return frozenset(name for name in names if name in marked or name in tools)


def open_reasoning(prompt: str, last: str, template: str) -> str:
    """Return the reasoning that a prompt begins, from its first marker to the end of the prompt, or "".

    `last`: the content of the last message. The text after it is the template's beginning of a reply.
    """
    question = last.strip()
    at = prompt.rfind(question) if question else -1
    tail = prompt[at + len(question) :] if at >= 0 else prompt[max(prompt.rfind("\n", 0, len(prompt.rstrip())), 0) :]
    places = [tail.rfind(pair.start) for pair in find_markers(template) if _is_open(tail, pair)]
    own = re.search(r"<([A-Za-z][\w:.\-]*)>\s*$", tail)
    if own and f"</{own[1]}>" in template and own[1].lower() not in _ROLES:
        places.append(own.start())
    return tail[min(places) :] if places else ""


def _is_open(text: str, pair: Markers) -> bool:
    return text.rfind(pair.start) > text.rfind(pair.end) if pair.start in text else False


def split_reasoning(text: str, markers: Sequence[Markers]) -> tuple[str, str]:
    """Return (reasoning, answer) of a whole reply."""
    splitter = ReasoningSplitter(markers)
    parts = [*splitter.feed(text), *splitter.flush()]
    reasoning, answer = ("".join(part.text for part in parts if part.reasoning is kind) for kind in (True, False))
    return reasoning, answer


class ReasoningSplitter:
    """Splits a streaming reply into reasoning and answer.

    Markers are left out, and text that may become one is held back. The result does not depend on how the text is cut
    into pieces.
    """

    def __init__(self, markers: Sequence[Markers]) -> None:
        self._markers = tuple(markers)
        self._inside: Markers | None = None
        self._after = ""
        self._held = ""

    def feed(self, text: str) -> list[ReplyPart]:
        """Add text. Return the parts that are certain now."""
        self._held += text
        parts: list[ReplyPart] = []
        while self._step(parts):
            continue
        return parts

    def flush(self) -> list[ReplyPart]:
        """Return what was held back, at the end of the reply."""
        held, self._held = self._held, ""
        return [ReplyPart(held, self._inside is not None)] if held else []

    def _step(self, parts: list[ReplyPart]) -> bool:
        """Process one marker, or the text before a possible one. Return False if more text is needed."""
        if self._after:
            if self._held.startswith(self._after):
                self._held = self._held[len(self._after) :]
            elif self._after.startswith(self._held):
                return False
            self._after = ""
        wanted = {self._inside.end: self._inside} if self._inside else {pair.start: pair for pair in self._markers}
        places = [(self._held.find(marker), -len(marker), marker) for marker in wanted if marker in self._held]
        if places:
            at, _, marker = min(places)
            self._add(parts, at)
            self._held = self._held[len(marker) :]
            self._after = wanted[marker].answer if self._inside else ""
            self._inside = None if self._inside else wanted[marker]
            return True
        keep = max((_could_begin(self._held, marker) for marker in wanted), default=0)
        self._add(parts, len(self._held) - keep)
        return False

    def _add(self, parts: list[ReplyPart], length: int) -> None:
        if length:
            parts.append(ReplyPart(self._held[:length], self._inside is not None))
            self._held = self._held[length:]


def _could_begin(text: str, marker: str) -> int:
    """Return the length of the longest end of `text` that is the beginning of `marker`."""
    longest = min(len(marker) - 1, len(text))
    return next((length for length in range(longest, 0, -1) if text.endswith(marker[:length])), 0)
