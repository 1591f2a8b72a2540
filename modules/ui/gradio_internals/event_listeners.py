"""The events of Gradio's components, and what their listeners return.

Leans on `gradio.events.Events`, which names all events of components, on `BLOCKS_EVENTS`, the events of a page, on
`EVENTS` of each class, and on the four arguments of `Dependency`.
"""

from __future__ import annotations

from collections.abc import Callable

import gradio as gr
from gradio.blocks_events import BLOCKS_EVENTS
from gradio.events import Dependency as Dependency
from gradio.events import EventListener as EventListener
from gradio.events import Events

EVENT_NAMES = frozenset(str(event) for event in vars(Events).values() if isinstance(event, EventListener))


def listeners_of(component: type[object]) -> dict[str, Callable[..., object]]:
    """Return the methods of a class of Gradio that listen to its events, by the event's name."""
    events = [*getattr(component, "EVENTS", ()), *(BLOCKS_EVENTS if issubclass(component, gr.Blocks) else ())]
    found = {str(event): getattr(component, str(event), None) for event in events}
    return {name: listener for name, listener in found.items() if listener}


def no_dependency() -> Dependency:
    """Return what a listener returns, for an event that never fires."""
    return Dependency(None, {}, None, None)
