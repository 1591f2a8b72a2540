"""modules.ui: functions with which scripts build their part of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr

from modules.compat.facade.base import FacadeModule
from modules.compat.facade.state import State
from modules.compat.widgets.missing_widgets import MODEL
from modules.ui.theme import paddock_theme

# Fields whose values only the browser has. The rest of a state is read from Paddock.
_ELEMENTS = ("unique_id", "textbox")


class Ui(FacadeModule):
    """Paddock creates states from its current settings and the chat that the browser shows."""

    refresh_symbol = "↻"
    delete_symbol = "🗑️"
    save_symbol = "💾"

    @property
    def theme(self) -> object:
        """Return the page's theme."""
        return paddock_theme()

    def list_interface_input_elements(self) -> list[str]:
        """Return the names of the components whose values `gather_interface_values` takes."""
        return list(_ELEMENTS)

    def list_model_elements(self) -> list[str]:
        """Return the names of the Model tab's components that scripts can use."""
        return ["loader", "model_menu", "lora_menu", *MODEL]

    def gather_interface_values(self, *values: object) -> dict[str, object]:
        """Return the state: Paddock's values, with those of the components of `list_interface_input_elements`."""
        given = dict(zip(self._elements(), values, strict=False))
        shared: Any = self._facade.module("modules.shared")
        state: State = self._facade.widgets.stock.state(str(given.get("unique_id") or ""))
        state |= {name: value for name, value in given.items() if name not in ("unique_id", "history")}
        shared.persistent_interface_state = state
        return state

    def apply_interface_values(self, state: Mapping[str, object], use_persistent: bool = False) -> list[object]:
        """Return the values of these components in a state."""
        if use_persistent:
            shared: Any = self._facade.module("modules.shared")
            state = shared.persistent_interface_state
        return [state[name] if state and name in state else gr.update() for name in self._elements()]

    def create_refresh_button(
        self,
        refresh_component: object,
        refresh_method: Callable[[], object],
        refreshed_args: Any,
        elem_class: Any,
        interactive: bool = True,
    ) -> object:
        """Return a small button that calls `refresh_method` and then updates the component."""

        gradio = self._facade.widgets.bridge

        def refresh() -> object:
            refresh_method()
            return gradio.update(**((refreshed_args() if callable(refreshed_args) else refreshed_args) or {}))

        classes = [elem_class] if isinstance(elem_class, str) else list(elem_class or ())
        button = gradio.Button(
            self.refresh_symbol, elem_classes=classes, interactive=interactive, min_width=40, size="sm"
        )
        button.click(refresh, None, refresh_component, show_progress="hidden", api_visibility="private")
        return button

    def _elements(self) -> list[str]:
        shared: Any = self._facade.module("modules.shared")
        return list(shared.input_elements)
