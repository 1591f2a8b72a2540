"""The page's own routes, under /paddock: chats, the notebook, the model's load, and the page's files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import AfterValidator, BaseModel

from modules.chat.message_queue import MessageQueue
from modules.chat.parts import file_parts
from modules.chat.title_writer import TitleWriter
from modules.files.data_files import fix_surrogates
from modules.library.scan import DEMO_MODEL
from modules.protocol.errors import PaddockError
from modules.ui import retry as loading
from modules.ui.attachment_routes import add_attachment_routes
from modules.ui.character_routes import add_character_routes
from modules.ui.chat_feed import follow_chat
from modules.ui.code_colours import CodeColours
from modules.ui.command_routes import add_command_routes
from modules.ui.joined_files import PageFiles
from modules.ui.json_errors import PaddockRoute, SafeJSONResponse
from modules.ui.knowledge_routes import add_knowledge_routes
from modules.ui.loaded_models import add_loaded_model_routes
from modules.ui.markdown import Markdown
from modules.ui.model_status import describe_state, follow_state
from modules.ui.nodes import add_node_routes
from modules.ui.notebook_routes import add_notebook_routes
from modules.ui.order.order_routes import add_order_routes, order_verbs
from modules.ui.order.prompt_routes import add_prompt_routes
from modules.ui.order.settings_routes import add_chat_settings_routes
from modules.ui.order.transfer_routes import add_transfer_routes
from modules.ui.scene_routes import add_scene_routes
from modules.ui.sse import sse_response
from modules.ui.tool_routes import add_tool_routes
from modules.ui.voice_routes import add_voice_routes
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


class NewChat(BaseModel):
    """A request for a new chat. `folder`: an id, or ""."""

    temporary: bool = False
    folder: Text = ""


class PageRequest(BaseModel):
    """A page's request about a chat, a message or the notebook. Each route reads the fields that it needs."""

    text: Text = ""
    title: Text = ""
    message: Text = ""
    version: int = 0
    model: Text = ""
    author: Text = ""
    on: bool = False
    names: list[Text] = []
    files: list[NamedFile] = []
    changes_files: bool = False


def router(app: App) -> APIRouter:
    """Return all of the page's routes. An error is answered with status 400 and a sentence."""
    routes = APIRouter(prefix="/paddock", route_class=PaddockRoute, default_response_class=SafeJSONResponse)
    # Before the routes of chats, whose actions have any name.
    add_order_routes(routes, app)
    add_transfer_routes(routes, app)
    add_prompt_routes(routes, app)
    add_chat_settings_routes(routes, app)
    add_scene_routes(routes, app)
    add_character_routes(routes, app)
    _chat_routes(routes, app)
    add_notebook_routes(routes, app)
    _model_routes(routes, app)
    add_loaded_model_routes(routes, app)
    add_node_routes(routes, app)
    add_workshop_routes(routes, app)
    add_attachment_routes(routes, app)
    add_tool_routes(routes, app)
    add_command_routes(routes, app)
    add_voice_routes(routes, app)
    add_knowledge_routes(routes, app)

    @routes.post("/extensions/{name}/fault")
    def script_fault(name: str, request: PageRequest) -> None:
        """Record an error that an extension's script raised on the page."""
        if (running := app.extensions.running.get(name)) is not None:
            running.failed_on_page(request.text)

    files = PageFiles(STATIC)

    @routes.get("/static/{name:path}")
    def static(name: str, request: Request) -> Response:
        return files.answer(name, request)

    return routes


def _colours(app: App) -> CodeColours:
    colours = CodeColours()
    app.at_close.callback(colours.close)
    return colours


def _chat_routes(routes: APIRouter, app: App) -> None:
    chats, markdown = app.chats, Markdown(_colours(app))
    options, params = app.chat_preferences.options, app.chat_preferences.params
    waiting = MessageQueue(chats, app.supervisor, lambda chat: (params(chat), options(chat)), app.load_for_chat)

    @routes.post("/chats")
    def create(request: NewChat | None = None) -> dict[str, object]:
        request = request or NewChat()
        return asdict(app.chat_preferences.new_chat(temporary=request.temporary, folder=request.folder))

    @routes.get("/chats/{chat_id}/events")
    async def events(chat_id: str) -> StreamingResponse:
        await asyncio.to_thread(chats.head, chat_id)
        return sse_response(follow_chat(app, markdown, chat_id))

    @routes.get("/chats/{chat_id}/messages/{message_id}")
    def source(chat_id: str, message_id: str) -> dict[str, object]:
        for message in chats.messages(chat_id):
            if message.id == message_id:
                return {"text": message.text}
        raise PaddockError("This message was deleted from the chat. Reload the page.")

    def send(chat_id: str, request: PageRequest) -> dict[str, bool]:
        files = chats.files.parts((file.hash, file.name) for file in request.files)
        return {"waiting": waiting.send(chat_id, request.text, files)}

    def edit(chat_id: str, request: PageRequest) -> str:
        found = next((one for one in chats.messages(chat_id) if one.id == request.message), None)
        by_user = found is not None and found.role == "user"
        files = None
        if found is not None and by_user and request.changes_files:
            # A file that stays need not be read again.
            known = {(str(part.meta["hash"]), part.text): part for part in file_parts(found.parts)}
            named = [(file.hash, file.name) for file in request.files]
            fresh = chats.files.parts(one for one in named if one not in known)
            added = {str(part.meta["hash"]): part for part in fresh}
            files = [known.get(one) or added[one[0]] for one in dict.fromkeys(named)]
        left = file_parts(found.parts) if found is not None and files is None else files
        if by_user and not request.text.strip() and not left:
            raise PaddockError("An empty message cannot be sent. Write something first.")
        return chats.edit(chat_id, request.message, request.text, files)

    def branch(chat_id: str, request: PageRequest) -> dict[str, object]:
        head = chats.branch(chat_id, request.message)
        app.toolbox.choices.copy(chat_id, head.id)
        return asdict(head)

    titles = TitleWriter(chats, app.supervisor, lambda: bool(app.settings.get("auto_titles")), options)
    app.at_close.callback(titles.close)

    verbs: dict[str, Callable[[str, PageRequest], object]] = {
        "send": send,
        "regenerate": lambda chat, request: waiting.begin(
            chat, lambda: chats.regenerate(chat, request.message, params(chat), options(chat))
        ),
        "continue": lambda chat, request: waiting.begin(
            chat, lambda: chats.continue_reply(chat, params(chat), options(chat))
        ),
        "stop": lambda chat, request: chats.stop(chat),
        "answer-call": lambda chat, request: chats.answer_call(chat, request.message, request.text),
        "edit": edit,
        "delete": lambda chat, request: chats.delete(chat, request.message),
        "undelete": lambda chat, request: chats.undelete(chat, request.message),
        "switch": lambda chat, request: chats.switch(chat, request.message, request.version),
        "branch": branch,
        "summarize": lambda chat, request: chats.summarizer.request_for(chat, chats.messages(chat)),
        "summary": lambda chat, request: chats.summarizer.edit(chat, chats.messages(chat), request.text),
        "rename": lambda chat, request: chats.rename(chat, request.title),
        "trash": lambda chat, request: chats.delete_chat(chat),
        "restore": lambda chat, request: chats.restore_chat(chat),
        "lower": lambda chat, request: loading.retry(app, chat, request.message, lower=True),
        "reload": lambda chat, request: waiting.begin(
            chat, lambda: loading.retry(app, chat, request.message, lower=False)
        ),
        **order_verbs(app),
    }

    @routes.post("/chats/{chat_id}/{verb}")
    def act(chat_id: str, verb: str, request: PageRequest) -> dict[str, object]:
        if verb not in verbs:
            raise PaddockError(f"A chat has no action named {verb!r}. The actions are: {', '.join(verbs)}.")
        return {"result": verbs[verb](chat_id, request)}


def _model_routes(routes: APIRouter, app: App) -> None:
    @routes.get("/events")
    async def events() -> StreamingResponse:
        return sse_response(follow_state(app))

    @routes.get("/start")
    def start() -> dict[str, object]:
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
    def load(request: PageRequest) -> dict[str, object]:
        """Load a model with its saved settings. Blocks until it is loaded; the event streams send the progress."""
        app.models.load(request.model)
        return describe_state(app)

    @routes.post("/model/lower")
    def lower() -> dict[str, object]:
        """Load the model whose load failed again, with the settings lowered that its error names."""
        app.models.load_lower()
        return describe_state(app)
