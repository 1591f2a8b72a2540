"""The page's routes for characters, personas and lorebooks: list, edit, import, export and pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from pydantic import AfterValidator, BaseModel

from modules.chat.characters import Character
from modules.chat.roleplay.card_error import CardError
from modules.chat.roleplay.card_versions import version_of
from modules.chat.roleplay.character_library import FORMS, CharacterLibrary, card_value
from modules.chat.roleplay.personas import Persona
from modules.chat.roleplay.pictures import picture_mime
from modules.files.data_files import fix_surrogates
from modules.protocol.errors import PaddockError

if TYPE_CHECKING:
    from pathlib import Path

    from modules.app import App

# A picture is data: it runs nothing, and nothing may frame it.
_POLICY = {"Content-Security-Policy": "default-src 'none'; sandbox", "X-Content-Type-Options": "nosniff"}

Text = Annotated[str, AfterValidator(fix_surrogates)]


class CharacterRequest(BaseModel):
    """A change of a character. `name`: its file's name, "" for a new one; `fields`: as of CharacterLibrary.save."""

    name: Text = ""
    fields: dict[str, Any] = {}


class PersonaRequest(BaseModel):
    """A persona to save. `file`: the name of its file, "" for a new one."""

    file: Text = ""
    name: Text = ""
    description: Text = ""
    default: bool = False
    characters: list[Text] = []


class LorebookRequest(BaseModel):
    """A lorebook to save. `name`: of its file, "" for a new one; `book`: in the form of cards V3."""

    name: Text = ""
    book: dict[str, Any] = {}
    everywhere: bool = False


class NameRequest(BaseModel):
    """A request about one character, persona or lorebook."""

    name: Text


def add_character_routes(routes: APIRouter, app: App) -> None:
    """Add the routes below /paddock/characters, /paddock/personas and /paddock/lorebooks."""
    _character_routes(routes, app)
    _persona_routes(routes, app)
    _lorebook_routes(routes, app)


def _character_routes(routes: APIRouter, app: App) -> None:
    characters, library = app.characters, CharacterLibrary(app.characters, app.images)

    def shown(name: str, who: Character) -> dict[str, Any]:
        """Return everything that the editor shows of a character."""
        return {
            **entry(name, who),
            "fields": card_value(who.card),
            "version": version_of(who.value),
            "notes": list(who.notes),
            "files": [path.name for path in characters.files(name)],
        }

    def entry(name: str, who: Character) -> dict[str, Any]:
        tags, picture = list(who.card.tags), _stamp(characters.picture(name))
        return {
            "name": name,
            "title": who.name,
            "picture": picture,
            "tags": tags,
            "about": who.card.creator_notes[:300],
        }

    @routes.get("/characters")
    def listed() -> dict[str, Any]:
        """Return all characters. One that cannot be read has its error."""
        found: list[dict[str, Any]] = []
        for name in characters.names():
            try:
                found.append(entry(name, characters.load(name)))
            except PaddockError as error:
                found.append(
                    {"name": name, "title": name, "picture": "", "tags": [], "about": "", "error": error.message}
                )
        return {"characters": found, "forms": list(FORMS), "folder": app.paths.display(app.paths.characters)}

    @routes.get("/characters/one")
    def one(name: str) -> dict[str, Any]:
        return shown(name, characters.load(name))

    @routes.post("/characters/save")
    def save(request: CharacterRequest) -> dict[str, Any]:
        name = library.save(request.name, request.fields)
        return shown(name, characters.load(name))

    @routes.post("/characters/duplicate")
    def duplicate(request: NameRequest) -> dict[str, Any]:
        name = library.duplicate(request.name)
        return shown(name, characters.load(name))

    @routes.post("/characters/delete")
    def delete(request: NameRequest) -> dict[str, Any]:
        characters.delete(request.name)
        return listed()

    @routes.put("/characters/import")
    async def take(request: Request, name: str = "card") -> dict[str, Any]:
        """Store the character's file in the body."""
        stored, notes = await run_sync(library.import_file, await request.body(), fix_surrogates(name))
        return {"name": stored, "notes": list(notes)}

    @routes.put("/characters/picture")
    async def set_picture(request: Request, name: str) -> dict[str, Any]:
        await run_sync(library.set_picture, name, await request.body())
        return await run_sync(lambda: shown(name, characters.load(name)))

    @routes.get("/characters/picture")
    def picture(name: str) -> Response:
        return _picture(characters.picture(name))

    @routes.get("/characters/export")
    def export(name: str, form: str) -> Response:
        file = library.export(name, form)
        return _download(file.name, file.content)


def _persona_routes(routes: APIRouter, app: App) -> None:
    personas = app.chats.personas

    def listed() -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        for name in personas.names():
            try:
                one = personas.load(name)
            except PaddockError as error:
                found.append({"file": name, "name": name, "picture": "", "error": error.message})
                continue
            facts = {"name": one.name, "description": one.description, "default": one.default}
            facts |= {"characters": list(one.characters), "picture": _stamp(personas.picture(name))}
            found.append({"file": name, **facts})
        return {"personas": found}

    @routes.get("/personas")
    def all_of_them() -> dict[str, Any]:
        return listed()

    @routes.post("/personas/save")
    def save(request: PersonaRequest) -> dict[str, Any]:
        if not request.name.strip():
            raise CardError("A persona needs a name. Write one first.")
        one = Persona(request.name.strip(), request.description, request.default, tuple(request.characters))
        return {"saved": personas.save(request.file, one), **listed()}

    @routes.post("/personas/delete")
    def delete(request: NameRequest) -> dict[str, Any]:
        personas.delete(request.name)
        return listed()

    @routes.put("/personas/picture")
    async def set_picture(request: Request, name: str) -> dict[str, Any]:
        await run_sync(personas.set_picture, name, await request.body())
        return listed()

    @routes.get("/personas/picture")
    def picture(name: str) -> Response:
        return _picture(personas.picture(name))


def _lorebook_routes(routes: APIRouter, app: App) -> None:
    lorebooks = app.chats.lorebooks

    def listed() -> dict[str, Any]:
        found: list[dict[str, Any]] = []
        for name in lorebooks.names():
            try:
                found.append(
                    {"name": name, "everywhere": lorebooks.is_everywhere(name), "entries": lorebooks.size(name)}
                )
            except PaddockError as error:
                found.append({"name": name, "everywhere": False, "entries": 0, "error": error.message})
        return {"lorebooks": found}

    @routes.get("/lorebooks")
    def all_of_them() -> dict[str, Any]:
        return listed()

    @routes.get("/lorebooks/one")
    def one(name: str) -> dict[str, Any]:
        return {"name": name, "book": lorebooks.load(name), "everywhere": lorebooks.is_everywhere(name)}

    @routes.post("/lorebooks/save")
    def save(request: LorebookRequest) -> dict[str, Any]:
        if not isinstance(request.book.get("entries"), list):
            raise CardError("A lorebook needs a list of entries. Reload the page.")
        return {"saved": lorebooks.save(request.name, request.book, request.everywhere), **listed()}

    @routes.post("/lorebooks/delete")
    def delete(request: NameRequest) -> dict[str, Any]:
        lorebooks.delete(request.name)
        return listed()

    @routes.put("/lorebooks/import")
    async def take(request: Request, name: str = "lorebook.json") -> dict[str, Any]:
        stored, notes = await run_sync(lorebooks.import_file, await request.body(), fix_surrogates(name))
        return {"name": stored, "notes": list(notes), **listed()}

    @routes.get("/lorebooks/export")
    def export(name: str, form: str = "v3") -> Response:
        return _download(f"{name}.json", lorebooks.export(name, form))


def _stamp(path: Path | None) -> str:
    """Return what changes with a picture, or "" without one."""
    return str(path.stat().st_mtime_ns) if path else ""


def _picture(path: Path | None) -> Response:
    if path is None:
        # Not 404: browsers log that as an error of the page, which shows a letter instead.
        return Response(status_code=204)
    return FileResponse(
        path, media_type=picture_mime(path), headers={**_POLICY, "Cache-Control": "private, max-age=3600"}
    )


def _download(name: str, content: bytes) -> Response:
    headers = {**_POLICY, "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name, errors='replace')}"}
    return Response(content, media_type="application/octet-stream", headers=headers)
