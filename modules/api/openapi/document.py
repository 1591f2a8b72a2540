"""The OpenAPI document of /v1: every route, what it takes, and every status that it answers with."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from modules.api.openapi.schemas import (
    ANY_OBJECT,
    FLAG,
    TEXT,
    TEXTS,
    TOKENS,
    WHOLE,
    Schema,
    a_list,
    an_object,
    ref,
    schemas,
)
from modules.system.version import VERSION

# Every route may answer with these: checks of Host and key, of the body's size and pace, and of the method.
_ALWAYS = (400, 401, 403, 405, 408, 413, 429)
# Routes that need a model, which a request may load.
_OF_MODELS = (404, 409, 502, 503, 507)
_STREAM = "text/event-stream"
_STATUS = an_object("status", status=TEXT)
_LENGTH = an_object("length", length=WHOLE)
_OK = {"const": "OK"}


@dataclass(frozen=True)
class Operation:
    """One method of a route. `body` and `answer`: schemas; `errors`: statuses besides those of every route; `streams`:
    it may answer with server-sent events; `error`: the name of the schema of an error."""

    method: str
    path: str
    summary: str
    body: Schema | None = None
    answer: Schema | None = None
    errors: tuple[int, ...] = ()
    streams: bool = False
    error: str = "Error"


def _post(path: str, summary: str, body: Schema, answer: Schema, **more: Any) -> Operation:
    return Operation("post", path, summary, body, answer, more.pop("errors", _OF_MODELS), **more)


def _get(path: str, summary: str, answer: Schema, *errors: int) -> Operation:
    return Operation("get", path, summary, None, answer, errors)


def _of_extensions(method: str, path: str, summary: str) -> Operation:
    body = ANY_OBJECT if method == "post" else None
    return Operation(method, path, summary, body, {}, (404, 500, 501))


_MODEL = an_object("model_name", model_name=TEXT, args=ANY_OBJECT, settings=ANY_OBJECT, loader=TEXT)
_CHANGE = (404, 409, 502, 503, 507)
_INTERNAL = "/v1/internal"
OPERATIONS = (
    _get("/v1/models", "List the models, the loaded one first.", ref("Models")),
    _get("/v1/models/{name}", "Describe one model.", ref("Model"), 404),
    _post("/v1/chat/completions", "Answer a chat.", ref("ChatRequest"), ref("Completion"), streams=True),
    _post("/v1/completions", "Continue a text.", ref("CompletionRequest"), ref("Completion"), streams=True),
    _post("/v1/responses", "Answer a chat, and keep it.", ref("ResponseRequest"), ref("Response"), streams=True),
    _get("/v1/responses/{id}", "Read a response that was kept.", ref("Response"), 404),
    Operation("delete", "/v1/responses/{id}", "Forget a response.", None, ANY_OBJECT, (404,)),
    _post(
        "/v1/messages",
        "Answer a chat, as in Anthropic's API.",
        ref("AnthropicRequest"),
        ref("AnthropicMessage"),
        streams=True,
        error="AnthropicError",
    ),
    _post(
        "/v1/messages/count_tokens",
        "Count the tokens of a prompt.",
        ref("AnthropicRequest"),
        an_object("input_tokens", input_tokens=WHOLE),
        error="AnthropicError",
    ),
    _post("/v1/embeddings", "Turn texts into vectors.", ref("EmbeddingRequest"), ref("Embeddings")),
    *(
        _post(path, "Sort texts by how well they answer a query.", ref("RerankRequest"), ref("Reranked"))
        for path in ("/v1/rerank", "/v1/reranking")
    ),
    *(
        _of_extensions(method, path, f"{summary}, if an extension does that.")
        for path, summary in (
            ("/v1/audio/{path}", "Speak or listen"),
            ("/v1/images/{path}", "Make images"),
            ("/v1/moderations", "Judge texts"),
        )
        for method in ("get", "post", "delete")
    ),
    _get(f"{_INTERNAL}/health", "Answer while the server runs.", _STATUS),
    _post(f"{_INTERNAL}/encode", "Turn a text into token ids.", an_object("text", text=TEXT), ANY_OBJECT),
    _post(f"{_INTERNAL}/decode", "Turn token ids into a text.", an_object("tokens", tokens=TOKENS), ANY_OBJECT),
    _post(f"{_INTERNAL}/token-count", "Count the tokens of a text.", an_object("text", text=TEXT), _LENGTH),
    _post(
        f"{_INTERNAL}/logits",
        "List the likeliest next tokens.",
        an_object("prompt", prompt=TEXT, top_logits={**WHOLE, "minimum": 1, "maximum": 10_000}),
        ANY_OBJECT,
    ),
    _post(
        f"{_INTERNAL}/chat-prompt",
        "Return the prompt of a chat.",
        an_object("messages", messages=a_list(ref("Message")), instruction_template_str=TEXT, continue_=FLAG),
        an_object("prompt", prompt=TEXT),
    ),
    _post(f"{_INTERNAL}/stop-generation", "Stop the replies of API clients.", ANY_OBJECT, _OK, errors=()),
    _get(f"{_INTERNAL}/model/info", "Name the loaded model.", ANY_OBJECT),
    _get(f"{_INTERNAL}/model/list", "List the models.", an_object("model_names", model_names=TEXTS)),
    _post(f"{_INTERNAL}/model/load", "Load a model.", _MODEL, _OK, errors=_CHANGE),
    _post(f"{_INTERNAL}/model/unload", "Unload the model.", ANY_OBJECT, _OK, errors=_CHANGE),
    _get(f"{_INTERNAL}/lora/list", "List the LoRA adapters.", an_object("lora_names", lora_names=TEXTS)),
    _post(
        f"{_INTERNAL}/lora/load",
        "Apply LoRA adapters.",
        an_object("lora_names", lora_names=TEXTS),
        _OK,
        errors=_CHANGE,
    ),
    _post(f"{_INTERNAL}/lora/unload", "Remove all LoRA adapters.", ANY_OBJECT, _OK, errors=_CHANGE),
    _get("/v1/openapi.json", "Return this document.", ANY_OBJECT),
)


def openapi_document() -> dict[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Paddock",
            "version": VERSION,
            "description": "Local models for programs that speak to OpenAI, Anthropic or text-generation-webui.",
        },
        "servers": [{"url": "/"}],
        "security": [{}, {"bearer": []}, {"key": []}],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            },
        },
    }


def _described(operation: Operation) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"schema": operation.answer or {}}}
    if operation.streams:
        content[_STREAM] = {"schema": TEXT}
    if operation.answer == {}:
        content = {"*/*": {}}
    responses: dict[str, Any] = {"200": {"description": "The answer.", "content": content}}
    for status in sorted({*_ALWAYS, *operation.errors}):
        described = {"application/json": {"schema": ref(operation.error)}}
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": described}
    found: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": _id(operation),
        "responses": responses,
    }
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": operation.body}}}
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    if names:
        found["parameters"] = [{"name": name, "in": "path", "required": True, "schema": TEXT} for name in names]
    return found


def _id(operation: Operation) -> str:
    """Return a name for an operation, such as post_chat_completions."""
    parts = operation.path.removeprefix("/v1/").replace("{", "").replace("}", "")
    return f"{operation.method}_{parts}".replace("/", "_").replace("-", "_").replace(".", "_")
