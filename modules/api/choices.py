"""Several choices in one answer: `n`, lists of prompts, and prompts of token ids. Each choice is a generation."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from modules.api.body_fields import is_token_ids, whole_field
from modules.api.openai_format import OpenAIAnswer, usage
from modules.api.openai_stream import DONE, stream_answer
from modules.api.request_params import wants_usage
from modules.api.start_generation import start_generation
from modules.app import App
from modules.generation.generation import Generation
from modules.protocol.errors import PaddockError, PromptError, SettingError, Unsupported
from modules.runtime.loaded_model import LoadedModel
from modules.ui.sse import sse_event

MOST_CHOICES = 128
_ADDED = ("prompt_tokens", "completion_tokens", "total_tokens", "prefill_seconds", "decode_seconds")


class _Prompt(NamedTuple):
    """One prompt of a request, a warning about it or "", and the token ids that it was sent as, if it was."""

    value: object
    warning: str = ""
    ids: Sequence[int] = ()


@dataclass(frozen=True)
class Choices:
    """The generations of one request, in the order of its prompts. `copies`: how many each prompt has; `kept`: how many
    of them, the likeliest, are in the answer."""

    started: list[tuple[OpenAIAnswer, Generation]]
    copies: int
    kept: int
    usage_in_stream: bool

    @property
    def generations(self) -> list[Generation]:
        """Return the generations."""
        return [generation for _, generation in self.started]

    def completion(self) -> dict[str, Any]:
        """Return the whole answer, once all have ended without an error."""
        wholes = [answer.completion(generation) for answer, generation in self._best()]
        choices = [whole["choices"][0] for whole in wholes]
        warnings = dict.fromkeys(warning for whole in wholes for warning in whole.get("warnings", ()))
        more = {"warnings": list(warnings)} if warnings else {}
        return {**wholes[0], **more, "choices": choices, "usage": self._usage()}

    def _best(self) -> list[tuple[OpenAIAnswer, Generation]]:
        """Return the answers to keep of each prompt, numbered."""
        if self.kept == self.copies:
            return self.started
        best = list[tuple[OpenAIAnswer, Generation]]()
        for begin in range(0, len(self.started), self.copies):
            ranked = sorted(self.started[begin : begin + self.copies], key=lambda one: -_likelihood(one[1]))
            best += ranked[: self.kept]
        return [(replace(answer, index=place), generation) for place, (answer, generation) in enumerate(best)]

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the chunks of all choices as they arrive, then the usage if asked for, and [DONE]."""
        arrived: asyncio.Queue[bytes | None] = asyncio.Queue()
        answers = [asyncio.create_task(_follow(*one, arrived)) for one in self.started]
        try:
            left = len(answers)
            while left:
                event = await arrived.get()
                if event is None:
                    left -= 1
                else:
                    yield event
        finally:
            for task in answers:
                task.cancel()
            await asyncio.gather(*answers, return_exceptions=True)
        if self.usage_in_stream and not any(generation.error for generation in self.generations):
            answer, generation = self.started[0]
            yield sse_event({**answer.usage_chunk(generation), "usage": self._usage()})
        yield DONE

    def _usage(self) -> dict[str, Any]:
        """Return the sum of the token counts. A prompt with several choices counts once."""
        parts = [usage(generation) for generation in self.generations]
        total: dict[str, Any] = dict(parts[0])
        for name in _ADDED:
            total[name] = sum(
                part[name] for place, part in enumerate(parts) if name != "prompt_tokens" or place % self.copies == 0
            )
        total["total_tokens"] = total["prompt_tokens"] + total["completion_tokens"]
        cached = [part["prompt_tokens_details"]["cached_tokens"] for part in parts[:: self.copies]]
        total["prompt_tokens_details"] = {"cached_tokens": sum(cached)}
        return total


async def _follow(answer: OpenAIAnswer, generation: Generation, arrived: asyncio.Queue[bytes | None]) -> None:
    """Put the chunks of one choice into the queue, and None at its end."""
    try:
        async with aclosing(stream_answer(answer, generation)) as events:  # type: ignore[type-var]
            async for event in events:
                if event := event.removesuffix(DONE):
                    arrived.put_nowait(event)
    finally:
        arrived.put_nowait(None)


def start_choices(app: App, model: LoadedModel, body: Mapping[str, object], *, is_chat: bool) -> Choices:
    """Start a generation of the loaded model `model` for each choice. Raises PaddockError, and then none runs."""
    kept = whole_field(body, "n", 1, 1, MOST_CHOICES)
    copies = _copies(body, kept, is_chat)
    if is_chat or "prompt" not in body:
        prompts = [_Prompt(body.get("prompt"))]
    else:
        prompts = _prompts(model, body["prompt"], copies)
    usage_in_stream, started = wants_usage(body), list[tuple[OpenAIAnswer, Generation]]()
    several = len(prompts) * copies > 1
    try:
        for prompt, warning, ids in prompts:
            for copy in range(copies):
                one = {**body, "n": None, "seed": _seed(body.get("seed"), copy)}
                one |= {} if is_chat or "prompt" not in body else {"prompt": prompt}
                one |= {"stream_options": None} if several else {}
                answer, generation = start_generation(app, model, one, is_chat=is_chat, ids=ids)
                if warning:
                    warnings = (*answer.options.warnings, warning)
                    answer = replace(answer, options=replace(answer.options, warnings=warnings))
                answer = replace(answer, index=len(started), id=started[0][0].id if started else answer.id)
                started.append((answer, generation))
    except PaddockError:
        for _, generation in started:
            generation.cancel()
        raise
    return Choices(started, copies, kept, usage_in_stream)


def _copies(body: Mapping[str, object], kept: int, is_chat: bool) -> int:
    """Return how many answers each prompt gets: `best_of`, of which `kept` are shown. Raises SettingError."""
    best = body.get("best_of")
    if is_chat:
        if best is not None and (isinstance(best, bool) or best != 1):
            raise Unsupported("Only completions have 'best_of'. Leave 'best_of' out, or send 'n'.")
        return kept
    copies = whole_field(body, "best_of", kept, 1, MOST_CHOICES)
    if copies < kept:
        raise SettingError("'best_of' cannot be less than 'n', the number of answers to keep. Raise it.")
    if copies > kept and body.get("stream"):
        raise SettingError("An answer with 'best_of' cannot be streamed, because the best one is known at the end.")
    return copies


def _likelihood(generation: Generation) -> float:
    """Return the mean log-probability of the tokens of a reply."""
    scores = [entry["logprob"] for entry in generation.logprobs]
    return sum(scores) / len(scores) if scores else -math.inf


def _seed(seed: object, copy: int) -> object:
    """Return another seed for each copy of a prompt, or all would be the same."""
    return seed + copy if isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 else seed


def _prompts(model: LoadedModel, value: Any, copies: int) -> list[_Prompt]:
    """Return each prompt as a text. Raises PromptError."""
    prompts = value if isinstance(value, list) and not is_token_ids(value) else [value]
    if not prompts or len(prompts) * copies > MOST_CHOICES:
        raise PromptError(f"'prompt' must hold from 1 to {MOST_CHOICES} prompts, each counted 'n' times.")
    return [_from_ids(model, one) if is_token_ids(one) else _Prompt(one) for one in prompts]


def _from_ids(model: LoadedModel, ids: list[int]) -> _Prompt:
    """Return the text of token ids, with a warning if the model reads that text as other tokens."""
    text = model.detokenize(ids)
    read = model.tokenize(text, True)
    if read in (ids, [*read[:1], *ids]):
        return _Prompt(text, ids=ids)
    return _Prompt(
        text,
        f"The prompt's {len(ids)} token ids were turned into their text, which this model reads as {len(read)} other "
        "tokens. Send the text itself.",
    )
