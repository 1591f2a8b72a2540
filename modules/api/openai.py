"""The routes below /v1: models, completions, chat completions and embeddings, as in OpenAI's API, and reranking.

They use the same queue and the same generations as the page.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from modules.api.account_gate import app_of
from modules.api.anthropic.routes import router as anthropic_router
from modules.api.api_generations import ApiGenerations
from modules.api.authentication import METHODS
from modules.api.choices import start_choices
from modules.api.document_parts import DocumentReader
from modules.api.embeddings import embed, read_embedding_request
from modules.api.error_status import error_body, error_response
from modules.api.extension_endpoints import router as extension_router
from modules.api.internal import router as internal_router
from modules.api.model_list import model_entry, model_list
from modules.api.model_turns import ModelTurns
from modules.api.openai_stream import stream_answer, wait_until_done
from modules.api.openapi.document import openapi_document
from modules.api.request_params import parse_body
from modules.api.request_record import api_router, note_generations, note_no_route
from modules.api.rerank import read_rerank_request, rerank_documents
from modules.api.responses.routes import router as responses_router
from modules.api.warning_header import warning_header
from modules.app import App
from modules.protocol.errors import PaddockError, Unsupported
from modules.ui.json_errors import SafeJSONResponse


def router(app: App) -> APIRouter:
    """Return the routes below /v1."""
    routes = api_router()
    turns = ModelTurns(app)
    generations = ApiGenerations()
    documents = DocumentReader(app.images)

    @routes.get("/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": model_list(app)}

    @routes.post("/completions")
    async def completions(request: Request) -> Response:
        return await _answer(app, request, turns, generations, documents, is_chat=False)

    @routes.post("/chat/completions")
    async def chat_completions(request: Request) -> Response:
        return await _answer(app, request, turns, generations, documents, is_chat=True)

    @routes.post("/embeddings")
    async def embeddings(request: Request) -> Response:
        try:
            body = parse_body(await request.body())
            asked = read_embedding_request(body)
            async with turns.use(body, request, "embed") as model:
                return SafeJSONResponse(await embed(model, asked, request))
        except PaddockError as error:
            return error_response(error)

    @routes.post("/rerank")
    @routes.post("/reranking")
    async def rerank(request: Request) -> Response:
        try:
            body = parse_body(await request.body())
            asked = read_rerank_request(body)
            async with turns.use(body, request, "rerank") as model:
                answer, notes = await rerank_documents(model, asked, request)
            return SafeJSONResponse(answer, headers=warning_header(notes))
        except PaddockError as error:
            return error_response(error)

    @routes.get("/openapi.json")
    def openapi() -> dict[str, object]:
        return openapi_document()

    @routes.get("/models/{name:path}")
    def model(name: str) -> Response:
        entry = model_entry(app, name)
        return SafeJSONResponse(entry) if entry else error_response(app.on_request.not_found(name))

    routes.routes.extend(extension_router(app).routes)
    routes.routes.extend(anthropic_router(app, turns, generations, documents).routes)
    routes.routes.extend(responses_router(app, turns, generations, documents).routes)
    routes.routes.extend(internal_router(app, turns, generations).routes)
    known: dict[str, list[str]] = {}
    for route in routes.routes:
        if isinstance(route, APIRoute):
            known[route.path] = sorted({*known.get(route.path, ()), *(route.methods or ())})

    # The last route: it takes what no other one has taken.
    @routes.api_route("/{path:path}", methods=[*METHODS])
    def unknown(request: Request) -> Response:
        note_no_route(request)
        return _no_route(request, known)

    return routes


_INTERNAL = "/v1/internal/"


def _no_route(request: Request, known: dict[str, list[str]]) -> Response:
    path, method = request.url.path, request.method
    main = [f"{' '.join(methods)} {route}" for route, methods in known.items() if not route.startswith(_INTERNAL)]
    listed = ", ".join(main)
    allowed = known.get(path, [])
    problem = f"{path} does not take {method}" if allowed else f"There is no {path[:200]}"
    error = Unsupported(f"{problem}. The routes are: {listed}, and those below {_INTERNAL}. Use one of them.")
    headers = {"Allow": ", ".join(allowed)} if allowed else None
    return SafeJSONResponse(error_body(error), 405 if allowed else 404, headers)


async def _answer(
    app: App,
    request: Request,
    turns: ModelTurns,
    generations: ApiGenerations,
    documents: DocumentReader,
    *,
    is_chat: bool,
) -> Response:
    try:
        body = parse_body(await request.body())
        notes = await documents.read(body)
        async with turns.use(body, request) as model:
            choices = await run_in_threadpool(lambda: start_choices(app_of(app, request), model, body, is_chat=is_chat))
        for generation in choices.generations:
            generations.add(generation)
        note_generations(request, choices.generations)
    except PaddockError as error:
        return error_response(error)
    (answer, _), several = choices.started[0], len(choices.started) > 1
    headers = warning_header((*notes, *answer.options.warnings))
    if answer.options.stream:
        stream = choices.stream() if several else stream_answer(*choices.started[0])
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)
    # If the client hangs up, each in turn finds that out at once.
    for generation in choices.generations:
        await wait_until_done(generation, request)
    for generation in choices.generations:
        if generation.error is not None:
            return error_response(generation.error)
    return SafeJSONResponse(choices.completion() if several else answer.completion(generation), headers=headers)
