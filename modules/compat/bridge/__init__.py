"""The module `gradio` for scripts of text-generation-webui: Gradio 6 with features of older versions.

Gradio's own classes are not changed: scripts get subclasses, and Paddock's page uses plain Gradio.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import gradio as gr

from modules.compat.bridge.arguments import updates
from modules.compat.bridge.components import Classes
from modules.compat.bridge.events import chained
from modules.compat.bridge.notes import Notes
from modules.compat.bridge.pairs import event_class
from modules.ui.gradio_internals.component_classes import is_block

# Removed names -> their replacements.
_RENAMED = {"Box": "Group", "Variable": "State", "IOComponent": "Component", "FormComponent": "FormComponent"}
_PARTS = ("components", "layouts", "blocks", "templates")
# Classes for whole apps are not bridged.
_OWN = (gr.Interface, gr.ChatInterface, gr.TabbedInterface)


class Bridge(ModuleType):
    """The module `gradio`. `notes`: arguments and events that were dropped."""

    def __init__(self) -> None:
        super().__init__("gradio")
        self.notes = Notes()
        self._classes = Classes(self.notes)
        self.__path__: list[str] = []
        self.components = _Part(self, gr.components)
        self.inputs = self.outputs = _Old(self)

    def __getattr__(self, name: str) -> Any:
        return self.find(gr, name)

    def find(self, module: ModuleType, name: str) -> Any:
        """Return the object for `name` in one of Gradio's modules. Raises AttributeError."""
        if name in _RENAMED and not hasattr(module, name):
            module, name = gr.components if hasattr(gr.components, _RENAMED[name]) else gr, _RENAMED[name]
        found = getattr(module, name)
        if is_block(found) and not issubclass(found, _OWN):
            return self._classes.of(found)
        if isinstance(found, type) and issubclass(found, gr.EventData):
            return event_class(found)  # type: ignore[arg-type]
        if isinstance(found, ModuleType) and name in _PARTS:
            return _Part(self, found)
        return found

    def update(self, *args: Any, **named: Any) -> dict[str, Any]:
        """Call gr.update. None means "unchanged", except for the value."""
        return gr.update(**updates(args, named))

    @functools.wraps(gr.on)
    def on(self, *args: object, **named: object) -> Any:
        """Call gr.on. The result can be chained as in older versions."""
        if "_js" in named:
            named["js"] = named.pop("_js")
        named.pop("every", None)
        return chained(gr.on(*args, **named), self.notes)


class _Part(ModuleType):
    """One of Gradio's modules for scripts."""

    def __init__(self, bridge: Bridge, module: ModuleType) -> None:
        super().__init__(module.__name__)
        self._bridge = bridge
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return self._bridge.find(self._module, name)


class _Old(ModuleType):
    """gr.inputs and gr.outputs of Gradio 2. Their components have `default` instead of `value`."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__("gradio.inputs")
        self._bridge = bridge

    def __getattr__(self, name: str) -> Any:
        made = getattr(self._bridge.components, name)

        def make(*args: object, **named: object) -> Any:
            if "default" in named:
                named["value"] = named.pop("default")
            return made(*args, **named)

        return make
