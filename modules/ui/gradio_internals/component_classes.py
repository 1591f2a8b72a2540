"""Classes that derive from Gradio's components and are made at run time.

Leans on the metaclasses ComponentMeta and BlocksMeta, which derive from ABCMeta and write a .pyi file beside the source
of each class that they make; on `Block.get_block_name`, `get_block_class`, `get_component_class_id` and `get_config`,
by which the page chooses a widget; and on `Block._constructor_args`, from which Gradio makes a changed copy.
"""

from __future__ import annotations

import functools
import inspect
from abc import ABCMeta
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.blocks_events import BlocksMeta
from gradio.component_meta import ComponentMeta

from modules.ui.gradio_internals.event_listeners import EventListener


class DerivedMeta(ComponentMeta, BlocksMeta):
    """Makes a class as Gradio's metaclasses do, but writes no file.

    A class with `_real` stands for that class of Gradio: `isinstance` with it is true for every `_real`. `ours`: False
    for classes that others derive from it, whose events get listeners and whose arguments are recorded.
    """

    def __new__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any], ours: bool = False) -> Any:
        if "__init__" in attrs and not ours:
            attrs["__init__"] = _recorded(attrs["__init__"])
        events = [one if isinstance(one, EventListener) else EventListener(one) for one in attrs.get("EVENTS", ())]
        if events and not ours:
            attrs["EVENTS"] = events
            attrs.update({str(event): event.listener for event in events})
        return ABCMeta.__new__(cls, name, bases, attrs)

    def __init__(cls, name: str, bases: tuple[type, ...], attrs: dict[str, Any], ours: bool = False) -> None:
        super().__init__(name, bases, attrs)

    def __instancecheck__(cls, instance: object) -> bool:
        real = vars(cls).get("_real")
        return isinstance(instance, real) if real else super().__instancecheck__(instance)


class DrawnAsReal:
    """A base of derived classes, for which the page draws the widget of the class `_real`."""

    _real: type[Any]

    def get_block_name(self) -> str:
        """Return the name of the widget that draws this. Part of Gradio's interface."""
        own = self._real.get_block_name is not Block.get_block_name
        return str(super().get_block_name()) if own else self.get_block_class()  # type: ignore[misc]

    def get_block_class(self) -> str:
        """Return a class name. Part of Gradio's interface."""
        real = self._real.__bases__[0] if hasattr(self, "is_template") else self._real
        return str(real.__name__.lower())

    @classmethod
    def get_component_class_id(cls) -> str:
        """Return a class name. Part of Gradio's interface."""
        return str(cls._real.get_component_class_id())

    def get_config(self, *given: object) -> dict[str, object]:
        """Return the configuration for the page, by argument names of the real class. Part of Gradio's interface."""
        own = self._real.get_config not in (Block.get_config, gr.components.Component.get_config)
        found = super().get_config() if own else super().get_config(*given or (self._real,))  # type: ignore[misc]
        return {**found, "name": self.get_block_class()}


def is_block(found: object) -> bool:
    """Return True for a class of Gradio that draws something: a component, a layout or a whole page."""
    return isinstance(found, type) and issubclass(found, Block)


def _recorded(init: Callable[..., None]) -> Callable[..., None]:
    """Return an `__init__` that records its arguments, so that Gradio can create a changed copy."""

    @functools.wraps(init)
    def initialise(self: Any, *given: object, **named: Any) -> None:
        init(self, *given, **named)
        names = list(inspect.signature(init).parameters)[1:]
        self._constructor_args.insert(0, {**dict(zip(names, given, strict=False)), **named})

    return initialise
