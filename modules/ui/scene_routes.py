"""The page's routes for a chat's scene: its character, persona, note, lorebooks and group, and messages put in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel

from modules.chat.roleplay.actions import Draft
from modules.chat.roleplay.card_fields import depth_prompt
from modules.chat.roleplay.group_settings import ORDERS, read_group
from modules.chat.roleplay.lore_values import texts
from modules.files.data_files import fix_surrogates
from modules.protocol.errors import PaddockError
from modules.ui.order.settings_routes import NEW

if TYPE_CHECKING:
    from modules.app import App

Text = Annotated[str, AfterValidator(fix_surrogates)]


class Inserted(BaseModel):
    """A message to put in below the message `after`, "" for the start."""

    after: Text = ""
    role: Text = "user"
    text: Text = ""
    speaker: Text = ""


class Spoken(BaseModel):
    """Who writes the next message."""

    speaker: Text


class NewChat(BaseModel):
    """A chat to begin with one character, or with several as a group."""

    characters: list[Text]


def add_scene_routes(routes: APIRouter, app: App) -> None:
    """Add the routes. They come before the chats' own actions, whose route takes any name."""
    chats, options, params = app.chats, app.chat_preferences.options, app.chat_preferences.params

    @routes.get("/chats/{chat_id}/scene")
    def scene(chat_id: str) -> dict[str, Any]:
        """Return everything that the panel shows of a chat's scene; of a new chat, for the id "new"."""
        chat_id = "" if chat_id == NEW else chat_id
        own = chats.settings.get(chat_id) if chat_id else {}
        now, group = options(chat_id), read_group(own.get("group"))
        note = depth_prompt(own.get("note"))
        persona = own.get("persona")
        return {
            "character": now.character,
            "characters": app.characters.names(),
            "personas": chats.personas.names(),
            "all_lorebooks": chats.lorebooks.names(),
            "persona": persona if isinstance(persona, str) else "",
            "user": now.name1,
            "note": {"text": note.text, "depth": note.depth, "role": note.role},
            "lorebooks": list(texts(own.get("lorebooks"))),
            "group": {"members": list(group.members), "order": group.order, "muted": list(group.muted)}
            if group
            else None,
            "orders": list(ORDERS),
            "names": {name: _title(app, name) for name in (group.members if group else ())},
        }

    @routes.post("/chats/{chat_id}/insert")
    def insert(chat_id: str, request: Inserted) -> dict[str, str]:
        return {"id": chats.roleplay.insert(chat_id, request.after, request.role, request.text, request.speaker)}

    @routes.post("/chats/{chat_id}/speak")
    def speak(chat_id: str, request: Spoken) -> dict[str, str]:
        return {"id": chats.group_turns.speak(chat_id, request.speaker, params(chat_id), options(chat_id))}

    @routes.post("/chats/{chat_id}/impersonate")
    async def impersonate(chat_id: str) -> StreamingResponse:
        """Return the user's next message as the model writes it. The model stops when the page hangs up."""
        draft = await run_sync(lambda: chats.roleplay.impersonate(chat_id, params(chat_id), options(chat_id)))
        first = await run_sync(next, draft.pieces, "")
        return StreamingResponse(_streamed(first, draft), media_type="text/plain; charset=utf-8")

    @routes.post("/characters/chat")
    def begin(request: NewChat) -> dict[str, Any]:
        """Create a chat with these characters. Return its id."""
        names = list(dict.fromkeys(request.characters))
        if not names:
            raise PaddockError("A chat needs a character. Choose one first.")
        found = [app.characters.load(name) for name in names]
        user = app.chat_preferences.user_name(names[0])
        head = chats.create(names[0] if len(names) == 1 else "", user)
        if len(names) > 1:
            chats.settings.change(head.id, {"group": {"members": names, "order": ORDERS[0]}})
            chats.roleplay.greet(head.id, names[0], found[0], user, group=True)
            chats.rename(head.id, ", ".join(who.name for who in found))
        return {"id": head.id}


async def _streamed(first: str, draft: Draft) -> AsyncIterator[str]:
    try:
        yield first
        # A page that hangs up does not wait for the next piece.
        while piece := await run_sync(next, draft.pieces, "", abandon_on_cancel=True):
            yield piece
    except PaddockError:
        return  # What was written is in the composer.
    finally:
        draft.cancel()


def _title(app: App, name: str) -> str:
    try:
        return app.characters.load(name).name
    except PaddockError:
        return name
