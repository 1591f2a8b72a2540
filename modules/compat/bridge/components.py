"""Gradio's classes for older scripts: subclasses of the real classes, created at first use."""

from __future__ import annotations

import inspect
from typing import Any

import gradio as gr

from modules.compat.bridge import pairs
from modules.compat.bridge.arguments import fit, updates
from modules.compat.bridge.events import bridged, silent
from modules.compat.bridge.notes import Notes
from modules.ui.gradio_internals.component_classes import DerivedMeta, DrawnAsReal
from modules.ui.gradio_internals.event_listeners import EVENT_NAMES, listeners_of


class Classes:
    """The classes for scripts, by real class."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._made: dict[type, Any] = {}

    def of(self, real: type[Any]) -> Any:
        """Return the class for scripts of one of Gradio's classes."""
        if real not in self._made:
            self._made[real] = self._make(real)
        return self._made[real]

    def _make(self, real: type[Any]) -> Any:
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
        attrs |= {event: bridged(listener, notes) for event, listener in listeners_of(real).items()}
        if issubclass(real, gr.Chatbot):
            attrs |= {"preprocess": pairs.preprocess, "postprocess": pairs.postprocess}
        return DerivedMeta(name, (_Old, real), {**attrs, "__module__": __name__}, ours=True)


class _Old(DrawnAsReal):
    """Methods of components in older versions."""

    _notes: Notes

    @classmethod
    def update(cls, *given: Any, **named: Any) -> dict[str, Any]:
        """Update an output, as in Gradio 3."""
        return gr.update(**updates(given, named))

    def style(self, *given: object, **named: object) -> Any:
        """Ignore style settings of Gradio 3, which are arguments now."""
        for key in named:
            self._notes.add(f".style({key}=)")
        return self

    def __getattr__(self, name: str) -> Any:
        if name in EVENT_NAMES:
            return silent(name, self._notes)
        raise AttributeError(f"{type(self).__name__} has no {name!r}")
