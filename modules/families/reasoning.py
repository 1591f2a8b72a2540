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
    """A piece of a reply's reasoning or of its answer.

    `marker`: it is a marker, which is not shown: the end of the reasoning where `reasoning` is True, else its start.
    `stray`: the end of reasoning that did not begin in the reply. It may also be text.
    """

    text: str
    reasoning: bool
    marker: bool = False
    stray: bool = False


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
# So much of a line says whether it is a fence of code.
_FENCE = 80
# Variables of chat templates: whether a model reasons, and how much (low, medium, high).
THINKING_SWITCHES = ("enable_thinking", "thinking")
EFFORT = "reasoning_effort"
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


def reads_variable(template: str, *names: str) -> bool:
    """Return True if a chat template reads one of these variables. `message.thinking` is none."""
    return any(re.search(rf"(?<![\w.'\"\[]){re.escape(name)}\b(?!['\"])", template) for name in names)


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
    parts = [part for part in (*splitter.feed(text), *splitter.flush()) if not part.marker or part.stray]
    reasoning, answer = ("".join(part.text for part in parts if part.reasoning is kind) for kind in (True, False))
    return reasoning, answer


def is_tag(marker: str) -> bool:
    """Return True for a marker such as <think>, which an answer may also mention. Others are single tokens."""
    return re.fullmatch(r"</?[A-Za-z_][\w:.\-]*>", marker) is not None


class ReasoningSplitter:
    """Splits a streaming reply into reasoning, answer and the markers between them.

    A tag such as <think> begins reasoning at the beginning of a line outside of code; elsewhere the answer mentions it.
    Text that may become a marker is held back. The result does not depend on how the text is cut into pieces.

    `inside`: the markers of the reasoning that the reply is in already. `written`: the text that it has already.
    """

    def __init__(self, markers: Sequence[Markers], inside: Markers | None = None, written: str = "") -> None:
        self._markers = tuple(markers)
        self._inside = inside
        # No reasoning has begun in this reply, so the prompt may have begun it.
        self._may_end_alone = inside is None and not written
        self._lines = _Lines()
        self._lines.add(written)
        self._after = ""
        self._held = ""

    @property
    def inside(self) -> Markers | None:
        """Return the markers of the reasoning that the text so far ends in, or None."""
        return self._inside

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
                parts.append(ReplyPart(self._after, True, marker=True))
                self._held = self._held[len(self._after) :]
            elif self._after.startswith(self._held):
                return False
            self._after = ""
        wanted = self._wanted()
        places = [(self._held.find(marker), -len(marker), marker) for marker in wanted if marker in self._held]
        if places:
            at, _, marker = min(places)
            self._add(parts, at)
            if self._inside is None and is_tag(marker) and not self._lines.at_start:
                self._add(parts, len(marker))
            else:
                self._held = self._held[len(marker) :]
                self._mark(parts, marker, wanted[marker])
            return True
        keep = max((_could_begin(self._held, marker) for marker in wanted), default=0)
        self._add(parts, len(self._held) - keep)
        return False

    def _wanted(self) -> dict[str, Markers]:
        """Return the markers that count here."""
        if self._inside:
            return {self._inside.end: self._inside}
        ends = {pair.end: pair for pair in self._markers} if self._may_end_alone else {}
        return {**ends, **{pair.start: pair for pair in self._markers}}

    def _mark(self, parts: list[ReplyPart], marker: str, pair: Markers) -> None:
        stray = self._inside is None and marker != pair.start
        parts.append(ReplyPart(marker, self._inside is not None, marker=True, stray=stray))
        self._may_end_alone = False
        self._after = pair.answer if self._inside or stray else ""
        self._inside = None if self._inside or stray else pair

    def _add(self, parts: list[ReplyPart], length: int) -> None:
        if length:
            text, self._held = self._held[:length], self._held[length:]
            if self._inside is None:
                self._lines.add(text)
            parts.append(ReplyPart(text, self._inside is not None))


class _Lines:
    """Knows of a growing Markdown text whether a line begins here, outside of code between fences."""

    def __init__(self) -> None:
        self._line = ""
        self._fenced = False

    def add(self, text: str) -> None:
        *whole, self._line = (self._line + text).split("\n")
        self._fenced ^= sum(line.lstrip().startswith("```") for line in whole) % 2 == 1
        # The beginning of a line says whether it is a fence.
        self._line = self._line[:_FENCE]

    @property
    def at_start(self) -> bool:
        return not self._fenced and not self._line.strip()


def _could_begin(text: str, marker: str) -> int:
    """Return the length of the longest end of `text` that is the beginning of `marker`."""
    longest = min(len(marker) - 1, len(text))
    return next((length for length in range(longest, 0, -1) if text.endswith(marker[:length])), 0)
