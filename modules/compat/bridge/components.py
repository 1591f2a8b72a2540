"""Gradio's classes for older scripts: subclasses of the real classes, created at first use."""

from __future__ import annotations

import functools
import inspect
from abc import ABCMeta
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.blocks_events import BLOCKS_EVENTS, BlocksMeta
from gradio.component_meta import ComponentMeta
from gradio.events import EventListener, Events

from modules.compat.bridge import pairs
from modules.compat.bridge.arguments import fit, updates
from modules.compat.bridge.events import bridged, silent
from modules.compat.bridge.notes import Notes

_EVENTS = frozenset(str(event) for event in vars(Events).values() if isinstance(event, EventListener))


class _Meta(ComponentMeta, BlocksMeta):
    """Creates a class like Gradio's metaclasses, but without writing a .pyi file beside its source."""

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

    def __instancecheck__(cls, instance: Any) -> bool:
        real = vars(cls).get("_real")
        return isinstance(instance, real) if real else super().__instancecheck__(instance)


class Classes:
    """The classes for scripts, by real class."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._made: dict[type, Any] = {}

    def of(self, real: type[Block]) -> Any:
        """Return the class for scripts of one of Gradio's classes."""
        if real not in self._made:
            self._made[real] = self._make(real)
        return self._made[real]

    def _make(self, real: type[Block]) -> Any:
        notes = self._notes
        name = real.__name__

        def init(self: Any, *given: Any, **named: Any) -> None:
            chatbot = issubclass(real, gr.Chatbot)
            kind = named.pop("type", "tuples") if chatbot else ""
            named = fit(name, real.__init__, given, named, notes.add)
            if chatbot:
                self._pairs = kind != "messages"
                if self._pairs:
                    # In older versions each text was a separate bubble.
                    named.setdefault("group_consecutive_messages", False)
            real.__init__(self, **named)

        init.__signature__ = inspect.signature(real.__init__)  # type: ignore[attr-defined]
        attrs: dict[str, Any] = {"__init__": init, "__doc__": real.__doc__, "_real": real, "_notes": notes}
        listeners = [*getattr(real, "EVENTS", ()), *(BLOCKS_EVENTS if issubclass(real, gr.Blocks) else ())]
        for event in listeners:
            if listener := getattr(real, str(event), None):
                attrs[str(event)] = bridged(listener, notes)
        if issubclass(real, gr.Chatbot):
            attrs |= {"preprocess": pairs.preprocess, "postprocess": pairs.postprocess}
        return _Meta(name, (_Old, real), {**attrs, "__module__": __name__}, ours=True)


class _Old:
    """Methods of components in older versions, and the class names for Gradio."""

    _real: type[Any]
    _notes: Notes

    @classmethod
    def update(cls, *given: Any, **named: Any) -> dict[str, Any]:
        """Update an output, as in Gradio 3."""
        return gr.update(**updates(given, named))

    def style(self, *given: Any, **named: Any) -> Any:
        """Ignore style settings of Gradio 3, which are arguments now."""
        for key in named:
            self._notes.add(f".style({key}=)")
        return self

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

    def get_config(self, *given: Any) -> dict[str, Any]:
        """Return the configuration for the page, by argument names of the real class. Part of Gradio's interface."""
        own = self._real.get_config not in (Block.get_config, gr.components.Component.get_config)
        found = super().get_config() if own else super().get_config(*given or (self._real,))  # type: ignore[misc]
        return {**found, "name": self.get_block_class()}

    def __getattr__(self, name: str) -> Any:
        if name in _EVENTS:
            return silent(name, self._notes)
        raise AttributeError(f"{type(self).__name__} has no {name!r}")


def _recorded(init: Callable[..., None]) -> Callable[..., None]:
    """Return a script's `__init__` that records its arguments, so that Gradio can create a changed copy."""

    @functools.wraps(init)
    def initialise(self: Any, *given: Any, **named: Any) -> None:
        init(self, *given, **named)
        names = list(inspect.signature(init).parameters)[1:]
        self._constructor_args.insert(0, {**dict(zip(names, given, strict=False)), **named})

    return initialise
