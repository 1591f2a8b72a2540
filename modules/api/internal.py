"""The routes below /v1/internal, with the paths, methods and fields of text-generation-webui's API."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from modules.api.account_gate import account_of
from modules.api.api_generations import ApiGenerations
from modules.api.body_fields import flag_field, is_token_ids, names_field, text_field, whole_field
from modules.api.error_status import error_response
from modules.api.internal_models import load_model, unload_model
from modules.api.keep_alive_fields import read_keep_alive
from modules.api.model_turns import ModelTurns
from modules.api.request_params import parse_body, request_messages
from modules.api.request_record import api_router
from modules.app import App
from modules.chat.prompt import render_chat
from modules.protocol.commands import Generate
from modules.protocol.errors import PaddockError, SettingError, Unsupported
from modules.runtime.loaded_model import LoadedModel
from modules.settings.accounts import account_client
from modules.ui.json_errors import SafeJSONResponse

OK = "OK"
# What text-generation-webui calls the model when none is loaded.
NO_MODEL = "None"
# More tokens than anyone reads would take long to send.
MOST_LOGITS = 10_000

Body = dict[str, object]


class AdapterNotFound(PaddockError):
    """There is no LoRA adapter of this name."""

    code = "adapter_not_found"


def router(app: App, turns: ModelTurns, generations: ApiGenerations) -> APIRouter:
    """Return the routes below /v1/internal. `generations`: those that API clients started."""
    routes = api_router("/internal")

    def post(path: str, answer: Callable[[Body], object]) -> None:
        """Add a route that answers a JSON body. An empty body counts as {}."""

        async def route(request: Request) -> Response:
            raw = await request.body()
            return await run_in_threadpool(_answer, lambda: answer(parse_body(raw) if raw.strip() else {}))

        routes.add_api_route(path, route, methods=["POST"])

    def ask(path: str, answer: Callable[[LoadedModel, Body], object]) -> None:
        """Add a route that asks a loaded model: the one that the body names, which is loaded if necessary, or the
        default one."""

        async def route(request: Request) -> Response:
            raw = await request.body()
            try:
                body = parse_body(raw) if raw.strip() else {}
                read_keep_alive(body)
                if not text_field(body, "model", ""):
                    return SafeJSONResponse(await run_in_threadpool(answer, app.pool.default.supervisor, body))
                async with turns.use(body, request) as model:
                    return SafeJSONResponse(await run_in_threadpool(answer, model, body))
            except PaddockError as error:
                return error_response(error)

        routes.add_api_route(path, route, methods=["POST"])

    def get(path: str, answer: Callable[[], object]) -> None:
        routes.add_api_route(path, lambda: _answer(answer), methods=["GET"])

    def tokens_of(model: LoadedModel, body: Body) -> list[int]:
        return model.tokenize(text_field(body, "text"), True)

    def encode(model: LoadedModel, body: Body) -> object:
        tokens = tokens_of(model, body)
        return {"tokens": tokens, "length": len(tokens)}

    def decode(model: LoadedModel, body: Body) -> object:
        tokens = body.get("tokens")
        if is_token_ids(tokens):
            return {"text": model.detokenize(tokens)}
        if tokens == []:
            return {"text": ""}
        raise SettingError("'tokens' must be a list of token ids, as /v1/internal/encode returns them.")

    def chat_prompt(model: LoadedModel, body: Body) -> object:
        chat = Generate(
            "",
            messages=request_messages(body),
            template=text_field(body, "instruction_template_str", ""),
            continue_last=flag_field(body, "continue_"),
        )
        return {"prompt": render_chat(model, chat).result.prompt}

    def logits(model: LoadedModel, body: Body) -> object:
        if flag_field(body, "use_samplers"):
            raise Unsupported("Probabilities after the samplers are not supported. Leave 'use_samplers' out.")
        prompt, top = text_field(body, "prompt"), whole_field(body, "top_logits", 50, 1, MOST_LOGITS)
        likeliest = model.next_token_probabilities(prompt, top)
        return {"logits": {entry["text"]: entry["probability"] for entry in likeliest}}

    def info() -> object:
        state = app.supervisor.state
        ready = state.phase == "ready"
        return {
            "model_name": state.model if ready else NO_MODEL,
            "lora_names": list(state.adapters) if ready else [],
            "loader": state.loader if ready else None,
            "beside": [model.name for model in app.pool.others if model.ready],
        }

    async def stop(request: Request) -> Response:
        account = account_of(request.scope)
        # Others' replies are the owner's and the admins' to stop.
        generations.cancel_all("" if account is None or account.is_admin else account_client(account))
        return SafeJSONResponse(OK)

    def load(body: Body) -> object:
        load_model(app, body)
        return OK

    def unload(body: Body) -> object:
        unload_model(app, text_field(body, "model_name", ""))
        return OK

    def apply(names: list[str]) -> object:
        known = {adapter.name for adapter in app.library.adapters()}
        if missing := [name for name in names if name not in known]:
            raise AdapterNotFound(
                f"There is no LoRA adapter named {missing[0][:200]!r}. GET /v1/internal/lora/list lists them."
            )
        app.adapters.apply(dict.fromkeys(names, 1.0))
        return OK

    get("/health", lambda: {"status": "ok"})
    ask("/encode", encode)
    ask("/decode", decode)
    ask("/token-count", lambda model, body: {"length": len(tokens_of(model, body))})
    ask("/logits", logits)
    ask("/chat-prompt", chat_prompt)
    routes.add_api_route("/stop-generation", stop, methods=["POST"])
    get("/model/info", info)
    get("/model/list", lambda: {"model_names": app.library.names()})
    post("/model/load", load)
    post("/model/unload", unload)
    get("/lora/list", lambda: {"lora_names": [adapter.name for adapter in app.library.adapters()]})
    post("/lora/load", lambda body: apply(names_field(body, "lora_names")))
    post("/lora/unload", lambda body: apply([]))
    return routes


def _answer(function: Callable[[], object]) -> Response:
    try:
        return SafeJSONResponse(function())
    except PaddockError as error:
        return error_response(error)
