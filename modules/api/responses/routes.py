"""The routes below /v1/responses."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from modules.api.account_gate import account_of
from modules.api.api_generations import ApiGenerations
from modules.api.document_parts import DocumentReader
from modules.api.error_status import error_response
from modules.api.model_turns import ModelTurns
from modules.api.openai_stream import wait_until_done
from modules.api.request_params import parse_body
from modules.api.request_record import api_router
from modules.api.responses.answer import ResponseAnswer
from modules.api.responses.request import read_response_request
from modules.api.responses.store import ResponseStore
from modules.api.start_chat import start_chat
from modules.api.warning_header import warning_header
from modules.app import App
from modules.protocol.errors import PaddockError
from modules.ui.json_errors import SafeJSONResponse


def router(app: App, turns: ModelTurns, generations: ApiGenerations, documents: DocumentReader) -> APIRouter:
    """Return the routes. `generations`: those that API clients started."""
    routes = api_router("/responses")
    stored = ResponseStore()

    @routes.post("")
    async def create(request: Request) -> Response:
        try:
            given = parse_body(await request.body())
            notes = await documents.read(given)
            asked = read_response_request(given, stored, _owner(request))
            answer, generation = await start_chat(app, request, turns, generations, asked.chat)
        except PaddockError as error:
            return error_response(error)
        headers = warning_header((*notes, *answer.options.warnings))
        response = ResponseAnswer(asked, answer, generation, stored)
        if answer.options.stream:
            return StreamingResponse(response.events(), media_type="text/event-stream", headers=headers)
        await wait_until_done(generation, request)
        if generation.error is not None:
            return error_response(generation.error)
        return SafeJSONResponse(response.whole(), headers=headers)

    @routes.get("/{id}")
    async def read(id: str, request: Request) -> Response:
        try:
            return SafeJSONResponse(stored.get(id, _owner(request)).response)
        except PaddockError as error:
            return error_response(error)

    @routes.delete("/{id}")
    async def delete(id: str, request: Request) -> Response:
        try:
            stored.delete(id, _owner(request))
        except PaddockError as error:
            return error_response(error)
        return SafeJSONResponse({"id": id, "object": "response", "deleted": True})

    return routes


def _owner(request: Request) -> str:
    """Return whose responses a request may name: those of its account, or the owner's ("")."""
    account = account_of(request.scope)
    return account.id if account else ""
