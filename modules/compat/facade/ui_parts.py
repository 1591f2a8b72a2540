"""modules.ui_chat and similar: parts of text-generation-webui's page from which scripts use a few names."""

from __future__ import annotations

from collections.abc import Iterator

from modules.compat.facade.base import FacadeModule, Impossible
from modules.compat.facade.state import State
from modules.plugins.request_model import hook_model

_WHY = "the page is Paddock's own"


class UiPart(FacadeModule):
    """A part of the page that cannot be built a second time."""

    create_ui = Impossible("create_ui", _WHY)
    create_event_handlers = Impossible("create_event_handlers", _WHY)


class UiChat(UiPart):
    """Names of components, for events that make or draw a reply."""

    inputs = ("Chat input", "interface_state")
    reload_arr = ("history", "name1", "name2", "mode", "chat_style", "character_menu")


class UiDefault(UiPart):
    """Names of components of the notebook with two columns."""

    inputs = ("textbox-default", "interface_state")
    outputs = ("output_textbox", "html-default")


class UiNotebook(UiPart):
    """Names of components of the notebook."""

    inputs = ("textbox-notebook", "interface_state")
    outputs = ("textbox-notebook", "html-notebook")


class UiModelMenu(UiPart):
    """Loads models like the Model tab."""

    def load_model_wrapper(self, selected_model: str, loader: object = None, autoload: bool = True) -> Iterator[str]:
        """Load a model. Yield sentences about it."""
        models = self._facade.module("modules.models")
        if not autoload or selected_model in ("None", "", None):
            yield "No model was chosen." if autoload else f"{selected_model} can be loaded now."
            return
        yield f"Loading {selected_model}…"
        models.load_model(selected_model, loader)
        yield f"{selected_model} is loaded."

    def update_truncation_length(self, current_length: object, state: State) -> object:
        """Return the context length of the loaded model; without one, the given length."""
        info = hook_model(self._app).state.info
        return info.context if info else current_length


class UiParameters(UiPart):
    """Context lengths."""

    def get_truncation_length(self) -> int:
        """Return the context length of the loaded model; 0 without one."""
        info = hook_model(self._app).state.info
        return info.context if info else 0
