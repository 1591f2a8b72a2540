"""What the named components hold, read off Paddock and written to it."""

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

# Values that events gave to components: the browser holds their number, this their last so many.
_KEPT = 200
_MARK = "kept:"


class Typed(str):
    """What is being typed: text, or, as newer text-generation-webui has it, {"text", "files"}."""

    def __getitem__(self, key: Any) -> Any:
        return {"text": str(self), "files": []}[key] if isinstance(key, str) else super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dictionary."""
        return self[key] if key in ("text", "files") else default


class Values:
    """Reads and writes for one App. A browser sends, for a component, the id of the chat that it shows, or the mark of
    a value that an event put there. `draw(state)`: a state's history as HTML."""

    def __init__(self, app: App, draw: Callable[[dict[str, Any]], str]) -> None:
        self._app = app
        self._draw = draw
        self._kept: OrderedDict[str, Any] = OrderedDict()
        self._numbers = itertools.count(1)

    def state(self, chat_id: str = "") -> dict[str, Any]:
        """The state of a chat, of a new one where there is none of that id."""
        try:
            return interface_state(self._app, chat_id)
        except PaddockError:
            return interface_state(self._app)

    def read(self, name: str, payload: Any) -> Any:
        """What the component `name` holds, for the browser that sent this."""
        text = str(payload or "")
        if text.startswith(_MARK):
            return self._kept[text] if text in self._kept else self.read(name, "")
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

    def _loaded_with(self, name: str) -> Any:
        """What the loaded model was loaded with; None for what its loader does not have."""
        now = self._app.supervisor.state
        if name in CONTEXT:
            return now.info.context if now.info else 0
        return getattr(now.settings, name, None)

    def write(self, name: str, value: Any) -> str:
        """Take what an event put into the component; what the browser is to hold instead of it. Raises PaddockError."""
        if name in ("textbox", "unique_id", "display", "theme_state"):
            given = value.get("text") if isinstance(value, dict) else value
            return "" if given is None else str(given)
        if set_it := self._setter(name):
            set_it(value)
            return ""
        return self._keep(value)

    def _keep(self, value: Any) -> str:
        mark = f"{_MARK}{next(self._numbers)}"
        self._kept[mark] = value
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return mark

    def _setter(self, name: str) -> Callable[[Any], None] | None:
        """What changes Paddock's own settings, None for what has no counterpart there."""
        app = self._app
        if name == "context" and not app.settings.get("character", ""):
            # Without a character it is the user's system message.
            return lambda value: app.settings.set("system", str(value or ""))
        if name == "preset_menu":
            return lambda value: app.sampling.choose_preset(str(value)) if value else None
        if name in {entry.name for entry in describe(SamplingParams)}:
            return lambda value: app.sampling.set(name, value)
        keys = {"custom_system_message": "system", "name1": "name1", "name2": "name2", "character_menu": "character"}
        if name in keys:
            return lambda value: app.settings.set(keys[name], "" if value in (None, "None") else str(value))
        return None
