"""Event listeners with arguments of Gradio 3 and 4: `_js`, `every`, and chains."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

from modules.compat.bridge.notes import Notes
from modules.ui.gradio_internals.event_listeners import Dependency, no_dependency


def bridged(listener: Callable[..., object], notes: Notes) -> Callable[..., Any]:
    """Return a listener (`click`, `then`, …) that accepts arguments of all versions."""
    known = inspect.signature(listener).parameters

    @functools.wraps(listener)
    def listen(*given: object, **named: object) -> Any:
        if "_js" in named:
            named["js"] = named.pop("_js")
        if named.get("api_name") is False:
            del named["api_name"]
            named["api_visibility"] = "private"
        if "queue" in named and named["queue"] is None:
            del named["queue"]
        every = named.pop("every", None)
        for name in [name for name in named if name not in known]:
            del named[name]
            notes.add(f"{getattr(listener, 'event_name', 'event')}({name}=)")
        dependency = chained(listener(*given, **named), notes)
        if isinstance(every, (int, float)):
            call = inspect.signature(listener).bind_partial(*given, **named).arguments
            again = {key: call[key] for key in ("fn", "inputs", "outputs", "js") if key in call}
            gr.Timer(every).tick(**again, show_progress="hidden")
        return dependency

    return listen


def chained(dependency: object, notes: Notes) -> Any:
    """Return the dependency. Its `then`, `success` and `failure` accept arguments of all versions."""
    if isinstance(dependency, Dependency):
        for name in ("then", "success", "failure"):
            setattr(dependency, name, bridged(getattr(dependency, name), notes))
    return dependency


def silent(name: str, notes: Notes) -> Callable[..., Any]:
    """Return a listener for an event that Gradio 6 does not have. It never fires."""

    def listen(*given: object, **named: object) -> Dependency:
        notes.add(f".{name}()")
        return no_dependency()

    return listen
