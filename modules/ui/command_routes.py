"""The page's routes for its commands: what the palette offers, and changes of one setting."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from pydantic import BaseModel

from modules.protocol.errors import PaddockError
from modules.settings.sampling_preferences import NEUTRAL
from modules.ui.language import choose_language, direction
from modules.ui.look import look

if TYPE_CHECKING:
    from modules.app import App

APPEARANCES = ("system", "light", "dark")


class CommandRequest(BaseModel):
    """The new value of one setting."""

    value: str = ""


def add_command_routes(routes: APIRouter, app: App) -> None:
    """Add the routes below /paddock/commands."""

    @routes.get("/commands/choices")
    def choices() -> dict[str, list[str]]:
        """Return the names of the models that this person may load, and of the presets."""
        models = app.library.names() if app.may_manage else []
        return {"models": models, "presets": [NEUTRAL, *app.presets.names()]}

    @routes.get("/commands/language")
    def language(request: Request) -> dict[str, str]:
        """Return the language of this person's page, and in which direction it is written."""
        chosen = str(app.settings.get("language") or "")
        found = choose_language(chosen, request.headers.get("accept-language", ""))
        return {"language": found, "direction": direction(found)}

    @routes.get("/commands/look")
    def chosen_look() -> dict[str, dict[str, str]]:
        """Return the CSS variables of this person's page."""
        return look(app.settings.items())

    @routes.post("/commands/preset")
    def choose_preset(request: CommandRequest) -> None:
        app.sampling.choose_preset(request.value)

    @routes.post("/commands/appearance")
    def set_appearance(request: CommandRequest) -> None:
        if request.value not in APPEARANCES:
            raise PaddockError(f"There is no appearance {request.value!r}. Choose one of {', '.join(APPEARANCES)}.")
        app.settings.set("theme", None if request.value == APPEARANCES[0] else request.value)
        app.supervisor.state_store.publish()
