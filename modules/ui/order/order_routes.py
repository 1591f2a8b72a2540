"""The page's routes for order among chats: the list, folders, pins, tags, archive and trash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import BaseModel

from modules.protocol.errors import PaddockError
from modules.ui.order.chat_list import folder_entry, found_chats, listed_chats, listed_folders
from modules.ui.order.settings_routes import check_settings

if TYPE_CHECKING:
    from modules.app import App

# Actions that many chats take at once.
_FOR_MANY = ("trash", "restore", "purge", "archive", "pin", "move")


class ManyRequest(BaseModel):
    """An action for several chats. `folder`: an id, or ""; `on`: of actions that can be taken back."""

    chats: list[str] = []
    action: str = ""
    on: bool = True
    folder: str = ""


class FolderRequest(BaseModel):
    """A change of a folder."""

    name: str = ""
    changes: dict[str, Any] = {}


def order_verbs(app: App) -> dict[str, Callable[[str, Any], Any]]:
    """Return the actions of one chat, by their names in the address. Each takes its id and the request."""
    chats = app.chats

    def keep(chat_id: str, request: Any) -> dict[str, Any]:
        return asdict(chats.keep(chat_id))

    def duplicate(chat_id: str, request: Any) -> dict[str, Any]:
        new = chats.order.duplicate(chat_id)
        app.toolbox.choices.copy(chat_id, new.id)
        return asdict(new)

    return {
        "pin": lambda chat, request: chats.order.pin(chat, request.on),
        "archive": lambda chat, request: chats.order.archive(chat, request.on),
        "tags": lambda chat, request: chats.order.tag(chat, request.names),
        "move": lambda chat, request: chats.folders.move(chat, request.title),
        "duplicate": duplicate,
        "keep": keep,
        "purge": lambda chat, request: chats.purge(chat),
        "rate": lambda chat, request: chats.order.rate(chat, request.message, request.version),
        "reveal": lambda chat, request: chats.order.reveal(chat, request.message),
        "character": lambda chat, request: chats.set_character(
            chat, request.title, app.chat_preferences.options(chat).name1
        ),
    }


def add_order_routes(routes: APIRouter, app: App) -> None:
    """Add the routes of the list of chats, /paddock/chats and /paddock/folders."""
    chats = app.chats

    @routes.get("/chats")
    def listed(search: str = "") -> list[dict[str, Any]]:
        return listed_chats(app, search)

    @routes.get("/chats/search")
    def search(search: str = "") -> dict[str, Any]:
        return found_chats(app, search)

    @routes.get("/folders")
    def folders() -> list[dict[str, Any]]:
        return listed_folders(app)

    @routes.get("/chats/trash")
    def trash() -> list[dict[str, Any]]:
        return [asdict(head) for head in chats.trash()]

    @routes.post("/chats/many")
    def many(request: ManyRequest) -> dict[str, Any]:
        """Take an action for several chats. Return how many took it, and what was wrong with the others."""
        if request.action not in _FOR_MANY:
            raise PaddockError(f"There is no action {request.action[:40]!r} for many chats. Reload the page.")
        actions: dict[str, Callable[[str], object]] = {
            "trash": chats.delete_chat,
            "restore": chats.restore_chat,
            "purge": chats.purge,
            "archive": lambda chat: chats.order.archive(chat, request.on),
            "pin": lambda chat: chats.order.pin(chat, request.on),
            "move": lambda chat: chats.folders.move(chat, request.folder),
        }
        done, problems = 0, []
        for chat_id in dict.fromkeys(request.chats):
            try:
                actions[request.action](chat_id)
                done += 1
            except PaddockError as error:
                problems.append(error.message)
        return {"done": done, "problems": list(dict.fromkeys(problems))}

    @routes.post("/folders")
    def create(request: FolderRequest) -> dict[str, Any]:
        return folder_entry(chats.folders.create(request.name))

    @routes.post("/folders/{folder_id}/{verb}")
    def change(folder_id: str, verb: str, request: FolderRequest) -> dict[str, Any]:
        if verb == "rename":
            chats.folders.rename(folder_id, request.name)
        elif verb == "settings":
            check_settings(request.changes)
            chats.folders.change(folder_id, request.changes)
        elif verb == "delete":
            chats.folders.delete(folder_id)
            return {}
        else:
            raise PaddockError(f"A folder has no action {verb[:40]!r}. Reload the page.")
        return folder_entry(chats.folders.get(folder_id))
