"""/v1/models, /v1/completions and /v1/chat/completions: the same queue and the same Generations as the page's."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from modules.api.api_hooks import HookedPrompt, hooked_chat, hooked_text
from modules.api.model_name import check_model, not_found
from modules.api.request_params import RequestOptions, parse_body, read_options, request_messages
from modules.api.secret import METHODS
from modules.app import App
from modules.chat.turn_hooks import GenerationHooks
from modules.chat.turn_order import render_turns
from modules.generation.generation import Generation
from modules.protocol.errors import PaddockError, PromptError, Unsupported
from modules.protocol.events import Finished
from modules.protocol.sampling import SamplingParams

# How the API names the ends of a generation.
_REASONS = {"stop": "stop", "stop_text": "stop", "length": "length", "context": "length", "cancelled": "stop"}
_STATUS = {"setting": 400, "path": 400, "prompt": 400, "unsupported": 400, "memory": 507, "died": 502}
_STATUS |= {"model_not_found": 404, "model_not_loaded": 409}


class _Json(JSONResponse):
    """JSON with lone surrogates, which no reader takes, replaced: what a client sent may hold some."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


@dataclass(frozen=True)
class _Answer:
    """One request under way: how its parts are named on the wire. `echo`: what the answer begins with."""

    id: str
    chat: bool
    model: str
    created: int
    asked: RequestOptions
    hooks: GenerationHooks | None = None
    echo: str = ""

    def part(self, text: str | None, reason: str | None = None, first: bool = False) -> dict[str, Any]:
        """A streamed part."""
        if self.chat:
            delta: dict[str, Any] = {"role": "assistant"} if first else {}
            if text is not None:
                delta["content"] = text
            choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": reason}
        else:
            choice = {"index": 0, "text": text or "", "finish_reason": reason, "logprobs": None}
        return {**self._head(".chunk" if self.chat else ""), "choices": [choice]}

    def whole(self, generation: Generation) -> dict[str, Any]:
        """The whole answer at once."""
        assert generation.finished is not None
        choice: dict[str, Any] = {"index": 0, "finish_reason": _REASONS[generation.finished.reason], "logprobs": None}
        if self.chat:
            choice["message"] = {"role": "assistant", "content": generation.final_text}
        else:
            choice["text"] = self.echo + generation.final_text
        head = self._head("")
        if remark := generation.empty_reply_note:
            head["warnings"] = [*head.get("warnings", ()), remark]
        return {**head, "choices": [choice], "usage": usage(generation)}

    def usage_part(self, generation: Generation) -> dict[str, Any]:
        """The last part of a stream that asked for usage."""
        return {**self._head(".chunk" if self.chat else ""), "choices": [], "usage": usage(generation)}

    def _head(self, suffix: str) -> dict[str, Any]:
        kind = f"chat.completion{suffix}" if self.chat else "text_completion"
        head: dict[str, Any] = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        if warnings := [*self.asked.warnings, *(self.hooks.notes if self.hooks else ())]:
            head["warnings"] = warnings
        return head


def usage(generation: Generation) -> dict[str, Any]:
    """Token counts and the engine's own seconds of a generation that ended."""
    finished = generation.finished
    assert finished is not None
    cut = {"cut_tokens": finished.cut_tokens} if finished.cut_tokens else {}
    return {
        "prompt_tokens": finished.prompt_tokens,
        "completion_tokens": finished.generated_tokens,
        "total_tokens": finished.prompt_tokens + finished.generated_tokens,
        "prompt_tokens_details": {"cached_tokens": finished.cached_tokens},
        **cut,
        "prefill_seconds": round(finished.prefill_seconds, 6),
        "decode_seconds": round(finished.decode_seconds, 6),
    }


def router(app: App) -> APIRouter:
    """The routes below /v1."""
    routes = APIRouter(prefix="/v1")
    loading = asyncio.Lock()

    def described(name: str) -> dict[str, Any]:
        state = app.supervisor.state
        loaded = state.phase == "ready" and state.model == name
        # Typed clients refuse an entry without `created`; nobody knows when a model was made.
        return {"id": name, "object": "model", "created": 0, "owned_by": "local", "loaded": loaded}

    @routes.get("/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": [described(name) for name in app.library.names()]}

    @routes.post("/completions")
    async def completions(request: Request) -> Response:
        return await _respond(app, request, loading, chat=False)

    @routes.post("/chat/completions")
    async def chat_completions(request: Request) -> Response:
        return await _respond(app, request, loading, chat=True)

    @routes.get("/models/{name:path}")
    def model(name: str) -> Response:
        if name in app.library.names():
            return _Json(described(name))
        return error_response(not_found(app, name))

    known = {route.path: sorted(route.methods or ()) for route in routes.routes if isinstance(route, APIRoute)}

    # The last one: it takes what no other has taken.
    @routes.api_route("/{path:path}", methods=[*METHODS])
    def unknown(request: Request) -> Response:
        return _no_route(request, known)

    return routes


def _no_route(request: Request, known: dict[str, list[str]]) -> Response:
    path, method = request.url.path, request.method
    listed = ", ".join(f"{' '.join(methods)} {route}" for route, methods in known.items())
    allowed = known.get(path, [])
    what = f"{path} does not take {method}" if allowed else f"There is no {path[:200]} here"
    error = Unsupported(f"{what}. The routes are: {listed}. Use one of them.")
    headers = {"Allow": ", ".join(allowed)} if allowed else None
    return _Json(error_body(error), 405 if allowed else 404, headers)


async def _respond(app: App, request: Request, loading: asyncio.Lock, *, chat: bool) -> Response:
    try:
        body = parse_body(await request.body())
        if app.reloader.worker_died:
            # One thread waits for the load, not one for each request.
            async with loading:
                await run_in_threadpool(app.reloader.ensure_loaded)
        answer, generation = await run_in_threadpool(_begin, app, body, chat)
    except PaddockError as error:
        return error_response(error)
    if answer.asked.stream:
        return StreamingResponse(_stream(answer, generation), media_type="text/event-stream")
    await _until_done(generation, request)
    if generation.error is not None:
        return error_response(generation.error)
    return _Json(answer.whole(generation))


def _begin(app: App, body: dict[str, Any], chat: bool) -> tuple[_Answer, Generation]:
    check_model(app, body)
    info = app.supervisor.loaded()
    state = app.supervisor.state
    spec = app.registry.get(state.loader)
    asked = read_options(body, app.presets, replace(spec, samplers=spec.samplers.difference(info.ignored)))
    hooked = _hooked(app, body, asked, chat) if asked.extensions and app.extensions.active else None
    opening = ""
    params, context = asked.params, info.context
    if hooked:
        prompt, counted, params = hooked.prompt, hooked.tokens, hooked.hooks.params
        limited = asked.limited or params.max_new_tokens != asked.params.max_new_tokens
        asked = replace(asked, limited=limited, warnings=(*asked.warnings, *hooked.notes))
    elif chat:
        rendered, notes = render_turns(app.supervisor.chat_prompt, request_messages(body))
        prompt, counted, opening = rendered.prompt, rendered.tokens, rendered.opening
        asked = replace(asked, warnings=(*asked.warnings, *notes))
    else:
        prompt, counted = _prompt_of(body), None
    # Counted where it matters: asking the worker takes a millisecond, or more while it is busy.
    length = counted if counted is not None else 0 if asked.limited else len(app.supervisor.tokenize(prompt, True))
    # As the page does: its longest reply, but no more than half of the context.
    least = min(params.max_new_tokens, context // 2)
    cut = length - max(1, context - least) if context and params.truncate else 0
    if cut > 0:
        warning = (
            f"The prompt has {length} tokens and the context takes {context}, of which {least} are kept for the reply, "
            f"so {cut} of its oldest tokens are left out. Shorten it, or load the model with a larger context."
        )
        asked = replace(asked, warnings=(*asked.warnings, warning))
    if not asked.limited and context:
        params = replace(params, max_new_tokens=max(least, context - length))
    echo = prompt if asked.echo else ""
    answer = _Answer("", chat, state.model, int(time.time()), asked, hooked.hooks if hooked else None, echo)
    if asked.silent:
        generation = _unwritten(app, prompt, params)
    elif hooked:
        generation = hooked.generate(app, params, asked.stream)
    else:
        generation = app.supervisor.generate(prompt, params, hooks=asked.extensions, opening=opening)
    return replace(answer, id=f"{'chatcmpl' if chat else 'cmpl'}-{generation.id}"), generation


def _hooked(app: App, body: dict[str, Any], asked: RequestOptions, chat: bool) -> HookedPrompt:
    """The prompt as the extensions that are on want it."""
    if chat:
        return hooked_chat(app, request_messages(body), asked.params)
    return hooked_text(app, _prompt_of(body), asked.params)


def _unwritten(app: App, prompt: str, params: SamplingParams) -> Generation:
    """One that has ended without a token, for who wants the prompt alone."""
    generation = Generation(uuid.uuid4().hex, prompt, params, lambda _: None)
    tokens = len(app.supervisor.tokenize(prompt, True))
    generation.finish(Finished(generation.id, "length", prompt_tokens=tokens))
    return generation


def _prompt_of(body: dict[str, Any]) -> str:
    prompt = body.get("prompt", "")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if not isinstance(prompt, str):
        raise PromptError("'prompt' must be one text. Send several requests for several prompts.")
    return prompt


async def _changes(generation: Generation) -> AsyncIterator[None]:
    """One turn of the loop for each arrival, and a last one at the end. Whoever stops early cancels the generation."""
    loop = asyncio.get_running_loop()
    changed = asyncio.Event()

    def wake() -> None:
        # The loop may be closed already when the last events arrive.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(changed.set)

    unsubscribe = generation.on_change(wake)
    try:
        while not generation.done:
            await changed.wait()
            changed.clear()
            yield
        yield
    finally:
        unsubscribe()
        if not generation.done:
            generation.cancel()


async def _stream(answer: _Answer, generation: Generation) -> AsyncIterator[bytes]:
    sent = 0
    first = True
    if answer.echo:
        yield _event(answer.part(answer.echo, first=first))
    async with aclosing(_changes(generation)) as changes:  # type: ignore[type-var]
        async for _ in changes:
            text = generation.text
            if len(text) > sent:
                yield _event(answer.part(text[sent:], first=first))
                sent, first = len(text), False
    if generation.error is not None:
        yield _event(error_body(generation.error))
    else:
        assert generation.finished is not None
        if generation.final_text.startswith(generation.text) and (rest := generation.final_text[sent:]):
            yield _event(answer.part(rest, first=first))
            first = False
        yield _event(answer.part(None, _REASONS[generation.finished.reason], first))
        if answer.asked.usage_in_stream:
            yield _event(answer.usage_part(generation))
    yield b"data: [DONE]\n\n"


async def _until_done(generation: Generation, request: Request) -> None:
    """Wait for the end; a client that hangs up before it ends the generation."""

    async def hung_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue
        generation.cancel()

    watch = asyncio.create_task(hung_up())
    try:
        async with aclosing(_changes(generation)) as changes:  # type: ignore[type-var]
            async for _ in changes:
                continue
    finally:
        watch.cancel()


def _event(value: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n".encode("utf-8", "replace")


def error_body(error: PaddockError) -> dict[str, Any]:
    """An error as API clients expect it."""
    return {"error": {"message": error.message, "type": error.code, "code": error.code, "lower": list(error.lower)}}


def error_response(error: PaddockError) -> JSONResponse:
    """The same with its HTTP status: 400 for what the client can mend, 503 where a model is missing."""
    return _Json(error_body(error), _STATUS.get(error.code, 503))
