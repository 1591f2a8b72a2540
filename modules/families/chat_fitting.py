"""Fit a chat to the context by whole turns: in the worker, and in the host where an extension counts the tokens.

A cut that moves at every turn makes the engine read the whole prompt again each time. So turns are left out in large
steps. The places where a chat may be cut depend only on its messages from the beginning on, and not on earlier
requests: the same chat is cut at the same place after an edit further down, in a branch, after a restart, and for an
API client that sends its history again. The tokens of a step are counted from the beginning of a section of the chat,
so of a chat of many thousand messages only those of the newest sections are counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate
from typing import Any, NamedTuple

from modules.families.audio_file import TOKENS_PER_SECOND, read_length
from modules.families.message_content import content_text, is_blank, media_parts
from modules.families.turn_order import Render, RenderedTurns, render_turns
from modules.protocol.errors import PromptError
from modules.protocol.reply_room import reply_room

# A step is at most this share of the room for the history, so that some of it is always left.
_LARGEST_STEP = 0.6
# Smaller steps than this part of the room for the prompt are not of use.
_SMALLEST_STEP = 64
# What most chat templates write around a message, and an image, in tokens: roughly, only to place the steps.
_USUAL_AROUND, _IMAGE = 4, 512
# Two turns that show what a template writes around messages.
_PROBE = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "a"}]
# A chat with so many characters for each token that fits is not rendered whole first, if its texts alone have so many
# times the tokens that fit.
_CHARACTERS, _CERTAINLY = 8, 1.1
# The messages of a very long chat are counted in sections from its beginning on, and only the newest sections are: so
# many characters for each token of the context, and at least so many. A message takes time beside its characters.
_SECTION, _SHORTEST_SECTION, _EACH = 16, 400_000, 100
# More than the messages that are counted for one prompt.
_MOST_COUNTS = 60_000

# Returns how many tokens each of the texts has.
CountTokens = Callable[[Sequence[str]], list[int]]


class FittedChat(NamedTuple):
    """The rendered turns, and how many messages after the first `keep_first` were left out of them."""

    rendered: RenderedTurns
    left_out: int = 0


def fit_chat(
    render: Render,
    messages: Sequence[Mapping[str, object]],
    *,
    context: int,
    max_new_tokens: int,
    count: CountTokens,
    refuse: bool = False,
    keep_first: int = 0,
) -> FittedChat:
    """Render the chat so that it and the reply fit `context` tokens (0: unknown, so all messages go in).

    If the chat is too long, whole turns are left out, the oldest first, in steps of about half of the room; the first
    `keep_first` messages and the last turn stay. `count` gets the messages in the newest sections of a chat that is too
    long, so it should remember their tokens. Messages without text, images and sounds are skipped. Raises PromptError
    if the chat is too long and `refuse` is set, or if the template fails.
    """
    first, rest = messages[:keep_first], messages[keep_first:]

    def cut(place: int) -> FittedChat:
        turns = [message for message in (*first, *rest[place:]) if _has_content(message)]
        return FittedChat(render_turns(render, turns), place)

    limit = context - reply_room(max_new_tokens, context)
    starts = [place for place, message in enumerate(rest) if message["role"] == "user" and place > 0]
    texts = [_text(message) for message in rest]
    sections = _sections(texts, context)
    begin: int | None = None
    if context and (starts or refuse) and sum(map(len, texts)) > _CHARACTERS * limit:
        begin = _too_long_from(texts, sections, count, limit)
    if refuse and begin:
        # To count all of a chat of many sections takes long.
        raise _refusal(f"more than {limit}", context, limit)
    if begin is None or refuse:
        whole = cut(0)
        tokens = whole.rendered.result.tokens
        if not context or tokens <= limit:
            return whole
        if refuse:
            raise _refusal(str(tokens), context, limit)
        if not starts:
            return whole
    begin = min(begin or 0, starts[-1])
    around = _around(render)
    weights = [0] * begin
    for message, tokens in zip(rest[begin:], count(texts[begin:]), strict=True):
        weights.append(tokens + around + sum(map(_medium, media_parts([message]))))
    shortest = cut(starts[-1])
    fixed = shortest.rendered.result.tokens - sum(weights[starts[-1] :])
    places = _cut_places([place for place in starts if place >= begin], weights, sections, _step(limit, limit - fixed))
    return _least_cut(cut, places, limit) or shortest


def remember_counts(count: CountTokens) -> CountTokens:
    """Return `count` with a memory of the texts it counted. Thread-safe."""
    known: dict[bytes, int] = {}

    def remembered(texts: Sequence[str]) -> list[int]:
        keys = [blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest() for text in texts]
        found = {key: known[key] for key in keys if key in known}
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in found}
        if missing:
            counted = dict(zip(missing, count(list(missing.values())), strict=True))
            found |= counted
            if len(known) + len(counted) > _MOST_COUNTS:
                known.clear()
            known.update(counted)
        return [found[key] for key in keys]

    return remembered


def _refusal(tokens: str, context: int, limit: int) -> PromptError:
    return PromptError(
        f"This chat has {tokens} tokens; the context holds {context}, of which {context - limit} are kept for the "
        "reply. Let Paddock leave out the oldest messages, lower Maximum reply length, or load the model with a larger "
        "context."
    )


def _text(message: Mapping[str, Any]) -> str:
    """Return what a message adds to the prompt. Reasoning of earlier turns is mostly left out of prompts."""
    calls = message.get("tool_calls")
    return content_text(message["content"]) + (json.dumps(calls) if calls else "")


def _medium(part: Mapping[str, Any]) -> int:
    """Return about how many tokens an image or a sound has. Raises PromptError for a sound that is gone."""
    return int(TOKENS_PER_SECOND * read_length(part["path"])) + 1 if part["type"] == "audio" else _IMAGE


def _around(render: Render) -> int:
    """Return how many tokens the chat template writes around a message."""
    try:
        more = render([*_PROBE, *_PROBE]).tokens - render([*_PROBE]).tokens
    except PromptError:
        return _USUAL_AROUND
    return max(0, more // len(_PROBE) - 1)


def _step(limit: int, room: int) -> int:
    """Return how many tokens of the history are left out at once.

    It is `limit` divided by a power of two. So a system message that becomes a little longer changes nothing, and where
    the step does change, most of the places stay.
    """
    step = limit // 2
    while step > _LARGEST_STEP * room and step > limit // _SMALLEST_STEP:
        step //= 2
    return max(1, step)


def _sections(texts: Sequence[str], context: int) -> list[int]:
    """Return where the sections of a chat begin. They depend only on the messages from the beginning on."""
    length = max(_SECTION * context, _SHORTEST_SECTION)
    before = accumulate((len(text) + _EACH for text in texts), initial=0)
    passed = [characters // length for characters in before]
    return [0, *(place for place in range(1, len(texts)) if passed[place] > passed[place - 1])]


def _too_long_from(texts: Sequence[str], sections: Sequence[int], count: CountTokens, limit: int) -> int | None:
    """Return where the newest sections begin whose texts certainly do not fit; None if the whole chat may fit."""
    tokens, end = 0, len(texts)
    for begin in reversed(sections):
        tokens += sum(count(texts[begin:end]))
        if tokens > _CERTAINLY * limit:
            return begin
        end = begin
    return None


def _cut_places(starts: Sequence[int], weights: Sequence[int], sections: Sequence[int], step: int) -> list[int]:
    """Return the first turn of each later section, and the first after each whole step, counted from its section."""
    before = [0, *accumulate(weights)]
    places: list[int] = []
    passed = section = 0
    for start in starts:
        while section + 1 < len(sections) and sections[section + 1] <= start:
            section, passed = section + 1, -1
        if (steps := (before[start] - before[sections[section]]) // step) > passed:
            passed = steps
            places.append(start)
    return places


def _has_content(message: Mapping[str, object]) -> bool:
    """Return True for a message with text, calls of tools, or the result of one, which may be empty."""
    return message["role"] == "tool" or bool(message.get("tool_calls")) or not is_blank(message["content"])


def _least_cut(cut: Callable[[int], FittedChat], places: Sequence[int], limit: int) -> FittedChat | None:
    """Cut at the first of the places that leaves at most `limit` tokens, found by bisection; None if none does."""
    low, high = 0, len(places) - 1
    best: FittedChat | None = None
    while low <= high:
        middle = (low + high) // 2
        fitted = cut(places[middle])
        if fitted.rendered.result.tokens <= limit:
            best, high = fitted, middle - 1
        else:
            low = middle + 1
    return best
