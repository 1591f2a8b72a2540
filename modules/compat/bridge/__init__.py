"""The `gradio` that scripts of text-generation-webui see: Gradio 6 with what older ones had, for their code alone.

Gradio's own classes stay as they are: scripts get subclasses of them, so Paddock's page is plain Gradio.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import gradio as gr
from gradio.blocks import Block

from modules.compat.bridge.arguments import updates
from modules.compat.bridge.components import Classes
from modules.compat.bridge.events import chained
from modules.compat.bridge.notes import Notes
from modules.compat.bridge.pairs import event_class

# Names that went away -> those that took their place.
_RENAMED = {"Box": "Group", "Variable": "State", "IOComponent": "Component", "FormComponent": "FormComponent"}
_PARTS = ("components", "layouts", "blocks", "templates")
# Compositions of whole apps stay Gradio's own.
_OWN = (gr.Interface, gr.ChatInterface, gr.TabbedInterface)


class Bridge(ModuleType):
    """The module `gradio`. `notes`: what had to be left out."""

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
        """What `name` of one of Gradio's modules is for scripts. Raises AttributeError."""
        if name in _RENAMED and not hasattr(module, name):
            module, name = gr.components if hasattr(gr.components, _RENAMED[name]) else gr, _RENAMED[name]
        found = getattr(module, name)
        if isinstance(found, type) and issubclass(found, Block) and not issubclass(found, _OWN):
            return self._classes.of(found)
        if isinstance(found, type) and issubclass(found, gr.EventData):
            return event_class(found)  # type: ignore[arg-type]
        if isinstance(found, ModuleType) and name in _PARTS:
            return _Part(self, found)
        return found

    def update(self, *given: Any, **named: Any) -> dict[str, Any]:
        """gr.update, where None means "as it was" but for the value."""
        return gr.update(**updates(given, named))

    @functools.wraps(gr.on)
    def on(self, *given: Any, **named: Any) -> Any:
        """gr.on; what it returns can be chained as in older Gradios."""
        if "_js" in named:
            named["js"] = named.pop("_js")
        named.pop("every", None)
        return chained(gr.on(*given, **named), self.notes)


class _Part(ModuleType):
    """One of Gradio's modules as scripts see it."""

    def __init__(self, bridge: Bridge, module: ModuleType) -> None:
        super().__init__(module.__name__)
        self._bridge = bridge
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return self._bridge.find(self._module, name)


class _Old(ModuleType):
    """gr.inputs and gr.outputs of Gradio 2, whose components called the value `default`."""

    def __init__(self, bridge: Bridge) -> None:
        super().__init__("gradio.inputs")
        self._bridge = bridge

    def __getattr__(self, name: str) -> Any:
        made = getattr(self._bridge.components, name)

        def make(*given: Any, **named: Any) -> Any:
            if "default" in named:
                named["value"] = named.pop("default")
            return made(*given, **named)

        return make
