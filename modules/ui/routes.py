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
from modules.files.data_files import fix_surrogates
from modules.files.paths import safe_join
from modules.library.scan import DEMO_MODEL
from modules.protocol.errors import PaddockError
from modules.ui import retry as loading
from modules.ui.chat_feed import follow_chat
from modules.ui.code_colours import CodeColours
from modules.ui.json_errors import PaddockRoute, SafeJSONResponse
from modules.ui.markdown import Markdown
from modules.ui.model_status import describe_state, follow_state
from modules.ui.notebook import Notebook, follow_notebook
from modules.ui.sse import sse_response

if TYPE_CHECKING:
    from modules.app import App

STATIC = Path(__file__).parent / "static"


# Nothing can store half a character.
Text = Annotated[str, AfterValidator(fix_surrogates)]


class Ask(BaseModel):
    """What a page asks of a chat, a message or the notebook; each route reads the fields that it names."""

    text: Text = ""
    title: Text = ""
    message: Text = ""
    version: int = 0
    model: Text = ""
    author: Text = ""


def router(app: App) -> APIRouter:
    """All of the page's routes. Errors are answers with status 400 and a sentence."""
    routes = APIRouter(prefix="/paddock", route_class=PaddockRoute, default_response_class=SafeJSONResponse)
    _chat_routes(routes, app)
    _notebook_routes(routes, app)
    _model_routes(routes, app)

    @routes.post("/extensions/{name}/fault")
    def script_fault(name: str, asked: Ask) -> None:
        """What an extension's script on the page raised."""
        if (running := app.extensions.running.get(name)) is not None:
            running.failed_on_page(asked.text)

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
    def listed(search: str = "") -> list[dict[str, Any]]:
        return [asdict(head) for head in chats.chats(search)]

    @routes.post("/chats")
    def create() -> dict[str, Any]:
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
        raise PaddockError("This message is not in the chat any more. Reload the page.")

    def edit(chat_id: str, ask: Ask) -> str:
        if not ask.text.strip() and any(m.id == ask.message and m.role == "user" for m in chats.messages(chat_id)):
            raise PaddockError("An empty message cannot be sent. Write something first.")
        return chats.edit(chat_id, ask.message, ask.text)

    verbs: dict[str, Callable[[str, Ask], Any]] = {
        "send": lambda chat, ask: {"waiting": waiting.send(chat, ask.text)},
        "regenerate": lambda chat, ask: chats.regenerate(chat, ask.message, params(), options(chat)),
        "continue": lambda chat, ask: chats.continue_reply(chat, params(), options(chat)),
        "stop": lambda chat, ask: chats.stop(chat),
        "edit": edit,
        "delete": lambda chat, ask: chats.delete(chat, ask.message),
        "undelete": lambda chat, ask: chats.undelete(chat, ask.message),
        "switch": lambda chat, ask: chats.switch(chat, ask.message, ask.version),
        "branch": lambda chat, ask: asdict(chats.branch(chat, ask.message)),
        "rename": lambda chat, ask: chats.rename(chat, ask.title),
        "trash": lambda chat, ask: chats.delete_chat(chat),
        "restore": lambda chat, ask: chats.restore_chat(chat),
        "lower": lambda chat, ask: loading.retry(app, chat, ask.message, lower=True),
        "reload": lambda chat, ask: loading.retry(app, chat, ask.message, lower=False),
    }

    @routes.post("/chats/{chat_id}/{verb}")
    def act(chat_id: str, verb: str, ask: Ask) -> dict[str, Any]:
        if verb not in verbs:
            raise PaddockError(f"A chat has no action named {verb!r}. The actions are: {', '.join(verbs)}.")
        return {"result": verbs[verb](chat_id, ask)}


def _notebook_routes(routes: APIRouter, app: App) -> None:
    notebook = Notebook(app)

    @routes.get("/notebook/events")
    async def events() -> StreamingResponse:
        return sse_response(follow_notebook(app, notebook))

    @routes.post("/notebook/count")
    def tokens(ask: Ask) -> dict[str, Any]:
        ready = app.supervisor.state.phase == "ready"
        return {"tokens": len(app.supervisor.tokenize(ask.text, special=True)) if ready else None}

    verbs: dict[str, Callable[[Ask], None]] = {
        "write": lambda ask: notebook.write(ask.text, ask.author),
        "generate": lambda ask: notebook.generate(ask.text, app.sampling.params(), ask.author),
        "stop": lambda ask: notebook.stop(),
        "undo": lambda ask: notebook.undo(),
        "redo": lambda ask: notebook.redo(),
    }

    @routes.post("/notebook/{verb}")
    def act(verb: str, ask: Ask) -> dict[str, Any]:
        if verb not in verbs:
            raise PaddockError(f"The notebook has no action named {verb!r}. The actions are: {', '.join(verbs)}.")
        verbs[verb](ask)
        return {"result": None}


def _model_routes(routes: APIRouter, app: App) -> None:
    @routes.get("/events")
    async def events() -> StreamingResponse:
        return sse_response(follow_state(app))

    @routes.get("/start")
    def start() -> dict[str, Any]:
        """What an empty page offers: the models there are, who would speak, and questions to begin with."""
        names = app.library.names()
        demo = DEMO_MODEL if DEMO_MODEL in names else ""
        return {
            "models": names,
            "folder": app.paths.display(app.paths.models),
            "demo": demo,
            "character": app.chat_preferences.greeting(),
            "questions": list(loading.QUESTIONS),
        }

    @routes.post("/model/load")
    def load(ask: Ask) -> dict[str, Any]:
        """Load a model with what is kept for it; blocking: the event streams tell how far it is."""
        app.models.load(ask.model)
        return describe_state(app)

    @routes.post("/model/lower")
    def lower() -> dict[str, Any]:
        """Load the model whose load failed again, with what its error names lowered."""
        app.models.load_lower()
        return describe_state(app)
