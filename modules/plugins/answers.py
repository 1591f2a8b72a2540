"""Generations that extensions take part in: written in place of the model, or rewritten on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from modules.generation.generation import Generation
from modules.plugins.chains import Member
from modules.plugins.pipeline import Pipeline
from modules.protocol.errors import PaddockError
from modules.protocol.events import Finished
from modules.protocol.sampling import SamplingParams
from modules.threads import host_thread


def answer(
    pipeline: Pipeline, member: Member, given: str | Iterator[str], prompt: str, params: SamplingParams
) -> Generation:
    """A Generation of what an extension answers in place of the model: a text, or the text so far again and again.

    Text that was shown cannot be taken back: where a later one does not begin with it, `revised` holds the last.
    """
    stopped = threading.Event()
    generation = Generation(f"extension-{member.name}", prompt, params, lambda id: stopped.set())

    def write() -> None:
        text, sent = "", ""
        steps = iter([given]) if isinstance(given, str) else iter(lambda: pipeline.step(member, given), None)
        for text in steps:
            if text.startswith(sent) and len(text) > len(sent):
                generation.feed(text[len(sent) :], 1)
                sent = text
            if stopped.is_set():
                break
        if text != sent:
            generation.revised = text
        failed = pipeline.failure(member)
        if failed and not text:
            generation.fail(PaddockError(failed))
            return
        reason = "cancelled" if stopped.is_set() else "stop"
        generation.finish(Finished(generation.id, reason, generated_tokens=generation.tokens))

    _start(write, generation)
    return generation


def rewritten(pipeline: Pipeline, source: Generation, members: list[Member], state: dict[str, Any]) -> Generation:
    """A Generation that follows `source`, with what arrives passed through `stream_modifier` of these members."""
    generation = Generation(source.id, source.prompt, source.params, lambda id: source.cancel())

    def write() -> None:
        kept, shown = [""] * len(members), [""] * len(members)
        tokens = 0

        def push(text: str, final: bool) -> None:
            nonlocal tokens
            for place, member in enumerate(members):
                text = kept[place] + text
                if not text and not final:
                    return
                text, kept[place] = pipeline.stream(member, text, shown[place], final, state)
                if final:
                    text, kept[place] = text + kept[place], ""
                shown[place] += text
            fresh = source.tokens - tokens
            tokens += fresh
            if text:
                generation.feed(text, fresh)

        for text in source.follow(gather=0):
            push(text, False)
        push("", True)
        if source.error is not None:
            generation.fail(source.error)
        elif source.finished is not None:
            generation.finish(source.finished)

    _start(write, generation)
    return generation


def _start(write: Callable[[], None], generation: Generation) -> None:
    host_thread(f"reply {generation.id}", write, "A reply that extensions take part in", generation.fail).start()
