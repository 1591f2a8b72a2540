"""The routes /v1/messages and /v1/messages/count_tokens, as in Anthropic's API."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from modules.api.account_gate import app_of
from modules.api.anthropic.answer import anthropic_error, whole_message
from modules.api.anthropic.request import chat_body
from modules.api.anthropic.stream import message_events
from modules.api.api_generations import ApiGenerations
from modules.api.chat_input import read_chat
from modules.api.document_parts import DocumentReader
from modules.api.error_status import error_response
from modules.api.model_turns import ModelTurns
from modules.api.openai_stream import wait_until_done
from modules.api.request_params import parse_body
from modules.api.request_record import api_router
from modules.api.start_chat import start_chat
from modules.api.start_generation import request_options
from modules.api.warning_header import warning_header
from modules.app import App
from modules.chat.prompt import render_chat
from modules.protocol.errors import PaddockError
from modules.runtime.loaded_model import LoadedModel
from modules.ui.json_errors import SafeJSONResponse


def router(app: App, turns: ModelTurns, generations: ApiGenerations, documents: DocumentReader) -> APIRouter:
    """Return the routes. `generations`: those that API clients started."""
    routes = api_router("/messages")

    @routes.post("")
    async def messages(request: Request) -> Response:
        try:
            given = parse_body(await request.body())
            notes = await documents.read(given)
            body = chat_body(given)
            answer, generation = await start_chat(app, request, turns, generations, body)
        except PaddockError as error:
            return _refusal(error)
        headers = warning_header((*notes, *answer.options.warnings))
        if answer.options.stream:
            events = message_events(answer, generation)
            return StreamingResponse(events, media_type="text/event-stream", headers=headers)
        await wait_until_done(generation, request)
        if generation.error is not None:
            return _refusal(generation.error)
        return SafeJSONResponse(whole_message(answer, generation), headers=headers)

    @routes.post("/count_tokens")
    async def count_tokens(request: Request) -> Response:
        try:
            given = parse_body(await request.body())
            await documents.read(given)
            body = chat_body(given)
            async with turns.use(body, request) as model:
                return SafeJSONResponse(
                    {"input_tokens": await run_in_threadpool(lambda: _count(app_of(app, request), model, body))}
                )
        except PaddockError as error:
            return _refusal(error)

    return routes


def _count(app: App, model: LoadedModel, body: dict[str, object]) -> int:
    """Return how many tokens the prompt of a chat has. Raises PaddockError."""
    options = request_options(app, model, body)
    asked = read_chat(app, model, body, options, model.loaded().template)
    return render_chat(model, asked.command(options.continue_last)).result.tokens


def _refusal(error: PaddockError) -> Response:
    return error_response(error, anthropic_error(error))
