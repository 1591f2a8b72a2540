"""The values of the named components, read from Paddock and written to it."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from modules.compat.facade.state import interface_state
from modules.compat.widgets.missing_widgets import CONTEXT, MODEL
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import describe

if TYPE_CHECKING:
    from modules.app import App

# The number of values set by events that are stored. The browser has only a marker for each.
_MOST_STORED = 200
_MARK = "kept:"


class Typed(str):
    """The typed text. Also behaves as {"text", "files"}, as in newer text-generation-webui."""

    def __getitem__(self, key: Any) -> Any:
        return {"text": str(self), "files": []}[key] if isinstance(key, str) else super().__getitem__(key)

    def get(self, key: str, default: object = None) -> object:
        """Return a value, as dict.get does."""
        return self[key] if key in ("text", "files") else default


class Values:
    """Reads and writes values for one App. For a component, a browser sends the id of the shown chat, or the marker of
    a value that an event set. `draw(state)` returns a state's history as HTML."""

    def __init__(self, app: App, draw: Callable[[dict[str, Any]], str]) -> None:
        self._app = app
        self._draw = draw
        self._stored: OrderedDict[str, Any] = OrderedDict()
        self._numbers = itertools.count(1)

    def state(self, chat_id: str = "") -> dict[str, Any]:
        """Return the state of a chat, or of a new one if there is no such chat."""
        try:
            return interface_state(self._app, chat_id)
        except PaddockError:
            return interface_state(self._app)

    def read(self, name: str, payload: object) -> object:
        """Return the value of the component `name` for the browser that sent `payload`."""
        text = str(payload or "")
        if text.startswith(_MARK):
            return self._stored[text] if text in self._stored else self.read(name, "")
        chat = text.partition("#")[0]
        if name in ("textbox", "Chat input"):
            return Typed(text)
        if name in ("unique_id", "theme_state"):
            return text
        if name == "display" and text[:1] == "<":
            return text
        if name in MODEL:
            return self._loaded_with(name)
        state = self.state(chat)
        if name == "display":
            return self._draw(state)
        return state if name == "interface_state" else state.get(name)

    def _loaded_with(self, name: str) -> object:
        """Return a setting of the loaded model; None if its loader does not have it."""
        now = self._app.supervisor.state
        if name in CONTEXT:
            return now.info.context if now.info else 0
        return getattr(now.settings, name, None)

    def write(self, name: str, value: object) -> str:
        """Apply the value that an event set. Return the browser's text for it. Raises PaddockError."""
        if name in ("textbox", "unique_id", "display", "theme_state"):
            text = value.get("text") if isinstance(value, dict) else value
            return "" if text is None else str(text)
        if set_it := self._setter(name):
            set_it(value)
            return ""
        return self._store(value)

    def _store(self, value: Any) -> str:
        mark = f"{_MARK}{next(self._numbers)}"
        self._stored[mark] = value
        while len(self._stored) > _MOST_STORED:
            self._stored.popitem(last=False)
        return mark

    def _setter(self, name: str) -> Callable[[object], None] | None:
        """Return a function that changes Paddock's own setting; None if there is no counterpart."""
        app = self._app
        if name == "context" and not app.settings.get("character", ""):
            # Without a character, this is the user's system message.
            return lambda value: app.settings.set("system", str(value or ""))
        if name == "preset_menu":
            return lambda value: app.sampling.choose_preset(str(value)) if value else None
        if name in {entry.name for entry in describe(SamplingParams)}:
            return lambda value: app.sampling.set(name, value)
        keys = {"custom_system_message": "system", "name1": "name1", "name2": "name2", "character_menu": "character"}
        if name in keys:
            return lambda value: app.settings.set(keys[name], "" if value in (None, "None") else str(value))
        return None
