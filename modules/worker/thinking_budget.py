"""A limit for reasoning: after so many tokens of it, its end is written for the model, which then answers."""

from __future__ import annotations

import copy
import threading
from collections.abc import Generator
from dataclasses import replace

from modules.families.reasoning import Markers, ReasoningSplitter, find_markers
from modules.protocol.commands import Generate
from modules.worker.engine import EngineBase, Outcome, Piece

Pieces = Generator[Piece, None, Outcome]


class _Stop(threading.Event):
    """Is set by itself, or with `cancelled`."""

    def __init__(self, cancelled: threading.Event) -> None:
        super().__init__()
        self._cancelled = cancelled

    def is_set(self) -> bool:
        return super().is_set() or self._cancelled.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        return super().is_set() or self._cancelled.wait(timeout)


def generate_within_budget(engine: EngineBase, request: Generate, cancelled: threading.Event, template: str) -> Pieces:
    """Generate as the engine does. After `request.thinking_budget` tokens of reasoning (0: no limit), write its end and
    let the model answer after it.

    `template`: the chat template, which says how reasoning is marked. Without a prompt or markers there is no limit.
    """
    markers = find_markers(template)
    if not request.thinking_budget or not request.prompt or not markers:
        return (yield from engine.generate(request, cancelled))
    splitter = ReasoningSplitter(markers)
    splitter.feed(request.opening)
    stop = _Stop(cancelled)
    text, count = "", 0
    spent = 0
    pieces = engine.generate(request, stop)
    while True:
        try:
            piece = next(pieces)
        except StopIteration as ended:
            first: Outcome = ended.value
            break
        if threading.Event.is_set(stop):
            continue
        was_inside = splitter.inside is not None
        over = spent + piece.tokens - request.thinking_budget
        if over > 0:
            piece = _shortened(piece, piece.tokens - over, splitter, engine)
        splitter.feed(piece.text)
        text, count = text + piece.text, count + piece.tokens
        spent += piece.tokens if was_inside or splitter.inside else 0
        yield piece
        if splitter.inside and spent >= request.thinking_budget:
            stop.set()
    pair = splitter.inside
    if pair is None or not threading.Event.is_set(stop) or cancelled.is_set():
        return first
    ending = _end_of(pair)
    yield Piece(ending, 0)
    left = max(1, request.params.max_new_tokens - count)
    rest = replace(request, prompt=request.prompt + text + ending, params=replace(request.params, max_new_tokens=left))
    second = yield from engine.generate(rest, cancelled)
    return replace(
        second,
        prompt_tokens=first.prompt_tokens,
        cached_tokens=first.cached_tokens,
        cut_tokens=first.cut_tokens,
        generated_tokens=count + second.generated_tokens,
        prefill_seconds=first.prefill_seconds,
        decode_seconds=first.decode_seconds + second.prefill_seconds + second.decode_seconds,
        seed=first.seed,
        drafted_tokens=first.drafted_tokens + second.drafted_tokens,
        accepted_tokens=first.accepted_tokens + second.accepted_tokens,
    )


def _shortened(piece: Piece, tokens: int, splitter: ReasoningSplitter, engine: EngineBase) -> Piece:
    """Return the first tokens of a piece that ends in reasoning, as a fast engine sends many at once. Other pieces stay
    as they are. `splitter`: of the text before it."""
    text = engine.detokenize(engine.tokenize(piece.text, False)[:tokens])
    # A character whose last bytes are in the next token has no text.
    short = Piece(text.rstrip("\ufffd"), tokens, piece.logprobs[:tokens])
    return short if _ends_inside(splitter, piece.text) and _ends_inside(splitter, short.text) else piece


def _ends_inside(splitter: ReasoningSplitter, text: str) -> bool:
    after = copy.deepcopy(splitter)
    after.feed(text)
    return after.inside is not None


def _end_of(pair: Markers) -> str:
    """Return the end of reasoning as models write it."""
    return f"{pair.end}{pair.answer}" if pair.answer else f"\n{pair.end}\n\n"
