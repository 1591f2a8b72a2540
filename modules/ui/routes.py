"""The page's own routes, under /paddock: chats, the notebook, the model's load, and the page's files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse
from pydantic import AfterValidator, BaseModel

from modules.chat.message_queue import MessageQueue
from modules.chat.parts import file_parts
from modules.files.data_files import fix_surrogates
from modules.files.paths import safe_join
from modules.library.scan import DEMO_MODEL
from modules.protocol.errors import PaddockError
from modules.ui import retry as loading
from modules.ui.attachment_routes import add_attachment_routes
from modules.ui.chat_feed import follow_chat
from modules.ui.code_colours import CodeColours
from modules.ui.json_errors import PaddockRoute, SafeJSONResponse
from modules.ui.loaded_models import add_loaded_model_routes
from modules.ui.markdown import Markdown
from modules.ui.model_status import describe_state, follow_state
from modules.ui.notebook import Notebook, follow_notebook
from modules.ui.sse import sse_response
from modules.ui.tool_routes import add_tool_routes
from modules.ui.workshop_routes import add_workshop_routes

if TYPE_CHECKING:
    from modules.app import App

STATIC = Path(__file__).parent / "static"


# A text without halves of characters, which cannot be stored.
Text = Annotated[str, AfterValidator(fix_surrogates)]


class NamedFile(BaseModel):
    """An attachment of a message: the hash of its content, and its name there."""

    hash: Text
    name: Text


class PageRequest(BaseModel):
    """A page's request about a chat, a message or the notebook. Each route reads the fields that it needs."""

    text: Text = ""
    title: Text = ""
    message: Text = ""
    version: int = 0
    model: Text = ""
    author: Text = ""
    files: list[NamedFile] = []


def router(app: App) -> APIRouter:
    """Return all of the page's routes. An error is answered with status 400 and a sentence."""
    routes = APIRouter(prefix="/paddock", route_class=PaddockRoute, default_response_class=SafeJSONResponse)
    _chat_routes(routes, app)
    _notebook_routes(routes, app)
    _model_routes(routes, app)
    add_loaded_model_routes(routes, app)
    add_workshop_routes(routes, app)
    add_attachment_routes(routes, app)
    add_tool_routes(routes, app)

    @routes.post("/extensions/{name}/fault")
    def script_fault(name: str, request: PageRequest) -> None:
        """Record an error that an extension's script raised on the page."""
        if (running := app.extensions.running.get(name)) is not None:
            running.failed_on_page(request.text)

    @routes.get("/static/{name:path}")
    def static(name: str) -> Response:
        path = safe_join(STATIC, name)
        if not path.is_file():
            return JSONResponse({"error": f"There is no file named {name}."}, status_code=404)
        return FileResponse(path, headers={"Cache-Control": "no-cache"})

    return routes


def _colours(app: App) -> CodeColours:
    colours = CodeColours()
    app.at_close.callback(colours.close)
    return colours


def _chat_routes(routes: APIRouter, app: App) -> None:
    chats, markdown = app.chats, Markdown(_colours(app))
    options, params = app.chat_preferences.options, app.sampling.params
    waiting = MessageQueue(chats, app.supervisor, lambda chat: (params(), options(chat)))

    @routes.get("/chats")
    def listed(search: str = "") -> list[dict[str, object]]:
        return [asdict(head) for head in chats.chats(search)]

    @routes.post("/chats")
    def create() -> dict[str, object]:
        return asdict(app.chat_preferences.new_chat())

    @routes.get("/chats/{chat_id}/events")
    async def events(chat_id: str) -> StreamingResponse:
        await asyncio.to_thread(chats.head, chat_id)
        return sse_response(follow_chat(app, markdown, chat_id))

    @routes.get("/chats/{chat_id}/messages/{message_id}")
    def source(chat_id: str, message_id: str) -> dict[str, Any]:
        for message in chats.messages(chat_id):
            if message.id == message_id:
                return {"text": message.text}
        raise PaddockError("This message was deleted from the chat. Reload the page.")

    def send(chat_id: str, request: PageRequest) -> dict[str, bool]:
        files = chats.files.parts((file.hash, file.name) for file in request.files)
        return {"waiting": waiting.send(chat_id, request.text, files)}

    def edit(chat_id: str, request: PageRequest) -> str:
        messages = chats.messages(chat_id)
        from_user = (one.id for one in messages if one.role == "user" and not file_parts(one.parts))
        if not request.text.strip() and request.message in from_user:
            raise PaddockError("An empty message cannot be sent. Write something first.")
        return chats.edit(chat_id, request.message, request.text)

    def branch(chat_id: str, request: PageRequest) -> dict[str, Any]:
        head = chats.branch(chat_id, request.message)
        app.toolbox.choices.copy(chat_id, head.id)
        return asdict(head)

    verbs: dict[str, Callable[[str, PageRequest], Any]] = {
        "send": send,
        "regenerate": lambda chat, request: chats.regenerate(chat, request.message, params(), options(chat)),
        "continue": lambda chat, request: chats.continue_reply(chat, params(), options(chat)),
        "stop": lambda chat, request: chats.stop(chat),
        "answer-call": lambda chat, request: chats.answer_call(chat, request.message, request.text),
        "edit": edit,
        "delete": lambda chat, request: chats.delete(chat, request.message),
        "undelete": lambda chat, request: chats.undelete(chat, request.message),
        "switch": lambda chat, request: chats.switch(chat, request.message, request.version),
        "branch": branch,
        "rename": lambda chat, request: chats.rename(chat, request.title),
        "trash": lambda chat, request: chats.delete_chat(chat),
        "restore": lambda chat, request: chats.restore_chat(chat),
        "lower": lambda chat, request: loading.retry(app, chat, request.message, lower=True),
        "reload": lambda chat, request: loading.retry(app, chat, request.message, lower=False),
    }

    @routes.post("/chats/{chat_id}/{verb}")
    def act(chat_id: str, verb: str, request: PageRequest) -> dict[str, Any]:
        if verb not in verbs:
            raise PaddockError(f"A chat has no action named {verb!r}. The actions are: {', '.join(verbs)}.")
        return {"result": verbs[verb](chat_id, request)}


def _notebook_routes(routes: APIRouter, app: App) -> None:
    notebook = Notebook(app)

    @routes.get("/notebook/events")
    async def events() -> StreamingResponse:
        return sse_response(follow_notebook(app, notebook))

    @routes.post("/notebook/count")
    def tokens(request: PageRequest) -> dict[str, Any]:
        ready = app.supervisor.state.phase == "ready"
        return {"tokens": len(app.supervisor.tokenize(request.text, special=True)) if ready else None}

    verbs: dict[str, Callable[[PageRequest], None]] = {
        "write": lambda request: notebook.write(request.text, request.author),
        "generate": lambda request: notebook.generate(request.text, app.sampling.params(), request.author),
        "stop": lambda request: notebook.stop(),
        "undo": lambda request: notebook.undo(),
        "redo": lambda request: notebook.redo(),
    }

    @routes.post("/notebook/{verb}")
    def act(verb: str, request: PageRequest) -> dict[str, Any]:
        if verb not in verbs:
            raise PaddockError(f"The notebook has no action named {verb!r}. The actions are: {', '.join(verbs)}.")
        verbs[verb](request)
        return {"result": None}


def _model_routes(routes: APIRouter, app: App) -> None:
    @routes.get("/events")
    async def events() -> StreamingResponse:
        return sse_response(follow_state(app))

    @routes.get("/start")
    def start() -> dict[str, Any]:
        """Return what an empty chat shows: the models, the character of new chats, and questions to request."""
        names = app.library.names()
        demo = DEMO_MODEL if DEMO_MODEL in names and app.may_manage else ""
        return {
            "models": names,
            "folder": app.paths.display(app.paths.models),
            "demo": demo,
            "character": app.chat_preferences.greeting(),
            "questions": list(loading.QUESTIONS),
        }

    @routes.post("/model/load")
    def load(request: PageRequest) -> dict[str, Any]:
        """Load a model with its saved settings. Blocks until it is loaded; the event streams send the progress."""
        app.models.load(request.model)
        return describe_state(app)

    @routes.post("/model/lower")
    def lower() -> dict[str, object]:
        """Load the model whose load failed again, with the settings lowered that its error names."""
        app.models.load_lower()
        return describe_state(app)
