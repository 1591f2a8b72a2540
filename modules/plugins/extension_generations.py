"""Generations that extensions write instead of the model, or whose text they change."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator, Mapping

from modules.generation.generation import Generation
from modules.plugins.hook_calls import HookedExtension
from modules.plugins.pipeline import Pipeline
from modules.protocol.errors import PaddockError
from modules.protocol.events import Finished
from modules.protocol.sampling import SamplingParams
from modules.system.threads import host_thread


def answer(
    pipeline: Pipeline,
    extension: HookedExtension,
    reply: str | Iterator[str],
    prompt: str,
    params: SamplingParams,
    count: Callable[[str], int],
) -> Generation:
    """Return a Generation of an extension's reply: a text, or an iterator of the text so far.

    Shown text cannot be withdrawn. If a later text does not start with it, `revised` holds the last text. `count`
    returns the number of tokens of a text, 0 if unknown; the pieces that an extension yields are not tokens.
    """
    stopped = threading.Event()
    generation = Generation(f"extension-{extension.name}", prompt, params, lambda id: stopped.set())

    def write() -> None:
        text, sent = "", ""
        steps = iter([reply]) if isinstance(reply, str) else iter(lambda: pipeline.next_text(extension, reply), None)
        for text in steps:
            if text.startswith(sent) and len(text) > len(sent):
                generation.feed(text[len(sent) :], 0)
                sent = text
            if stopped.is_set():
                break
        if text != sent:
            generation.revised = text
        failure = pipeline.failure(extension)
        if failure and not text:
            generation.fail(PaddockError(failure))
            return
        reason = "cancelled" if stopped.is_set() else "stop"
        generation.finish(Finished(generation.id, reason, generated_tokens=count(text)))

    _start(write, generation)
    return generation


def rewritten(
    pipeline: Pipeline, source: Generation, extensions: list[HookedExtension], state: Mapping[str, object]
) -> Generation:
    """Return a Generation of the text of `source` after `stream_modifier` of these extensions."""
    generation = Generation(source.id, source.prompt, source.params, lambda id: source.cancel())
    # Those of the model's own tokens, before hooks change the text.
    generation.prompted, generation.logprobs = source.prompted, source.logprobs

    def write() -> None:
        held_back, shown = [""] * len(extensions), [""] * len(extensions)
        tokens = 0

        def push(text: str, final: bool) -> None:
            nonlocal tokens
            for place, extension in enumerate(extensions):
                text = held_back[place] + text
                if not text and not final:
                    return
                text, held_back[place] = pipeline.stream(extension, text, shown[place], final, state)
                if final:
                    text, held_back[place] = text + held_back[place], ""
                shown[place] += text
            fresh = source.tokens - tokens
            tokens += fresh
            if text:
                generation.feed(text, fresh)

        for text in source.follow(gather=0):
            push(text, False)
        push("", True)
        if (whole := source.revised) is not None:
            for extension in extensions:
                whole = pipeline.stream(extension, whole, "", True, state)[0]
            generation.revised = whole
        _end(generation, source)

    _start(write, generation, source)
    return generation


def completed(
    source: Generation, prefix: str, finish: Callable[[str], str], live: bool, strip: bool = False
) -> Generation:
    """Return a Generation of `prefix` and the text of `source`, passed through `finish` at the end.

    `live`: pass text on as it arrives; `revised` holds the whole text if `finish` changed it. Otherwise all text comes
    at the end, for readers that cannot withdraw text. `strip`: drop spaces before the first word.
    """
    generation = Generation(source.id, source.prompt, source.params, lambda id: source.cancel())
    # Those of the model's own tokens, before hooks change the text.
    generation.prompted, generation.logprobs = source.prompted, source.logprobs

    def write() -> None:
        tokens = 0
        if live and prefix:
            generation.feed(prefix, 0)
        for text in source.follow(gather=0):
            if live:
                fresh, tokens = source.tokens - tokens, source.tokens
                generation.feed(text if generation.length or not strip else text.lstrip(" "), fresh)
        if source.error is not None:
            generation.fail(source.error)
            return
        written = prefix + source.final_text
        written = written.lstrip(" ") if strip else written
        whole = finish(written)
        if not live:
            generation.feed(whole, source.tokens)
        elif whole != generation.text:
            generation.revised = whole
        _end(generation, source)

    _start(write, generation, source)
    return generation


def deferred(prompt: str, params: SamplingParams, make: Callable[[], Generation]) -> Generation:
    """Return a Generation at once. It follows the one that `make` returns, which may take long."""
    stopped = threading.Event()
    sources: list[Generation] = []

    def cancel(id: str) -> None:
        stopped.set()
        for source in sources:
            source.cancel()

    generation = Generation("extension-hooks", prompt, params, cancel)

    def write() -> None:
        source = make()
        sources.append(source)
        if stopped.is_set():
            source.cancel()
        tokens = 0
        for text in source.follow(gather=0):
            fresh, tokens = source.tokens - tokens, source.tokens
            generation.feed(text, fresh)
        generation.revised = source.revised
        _end(generation, source)

    _start(write, generation)
    return generation


def failed(error: PaddockError, prompt: str = "", params: SamplingParams | None = None) -> Generation:
    """Return a Generation that failed before it had any text."""
    generation = Generation("extension-failed", prompt, params or SamplingParams(), lambda id: None)
    generation.fail(error)
    return generation


def _end(generation: Generation, source: Generation) -> None:
    """End the generation as its source ended."""
    if source.error is not None:
        generation.fail(source.error)
    elif source.finished is not None:
        generation.finish(source.finished)


def _start(write: Callable[[], None], generation: Generation, source: Generation | None = None) -> None:
    # With the model of the request, if it is one (request_model).
    context = contextvars.copy_context()

    def write_and_stop() -> None:
        try:
            context.run(write)
        finally:
            if source is not None and not source.done:
                source.cancel()

    name = f"reply {generation.id}"
    host_thread(name, write_and_stop, "A reply that extensions take part in", generation.fail).start()
