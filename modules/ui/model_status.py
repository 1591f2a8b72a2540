"""The model's state as every page sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from modules.ui.sse import GATHER_SECONDS, KEEP_ALIVE_SECONDS, Waker, event, explain

if TYPE_CHECKING:
    from modules.app import App


def describe_state(app: App) -> dict[str, Any]:
    """What the header, the progress bar and the empty states show."""
    state = app.supervisor.state
    spec = app.registry.specs.get(state.loader) if state.loader else None
    shown: dict[str, Any] = {
        "phase": state.phase,
        "model": state.model or "",
        "loader": state.loader or "",
        "title": spec.title if spec else (state.loader or ""),
        "text": state.text,
        "fraction": state.fraction,
        "error": explain(state.error) if state.error else None,
        "page": app.page_build,
        "downloads": {"turns": app.downloads.revision, "under_way": _under_way(app)},
        "extensions": app.extensions.revision,
        "theme": app.settings.get("theme", "system"),
        "adapters": state.adapters,
    }
    if state.info:
        shown |= {"context": state.info.context, "device": state.info.device, "notes": list(state.info.notes)}
    return shown


def _under_way(app: App) -> dict[str, dict[str, Any]]:
    """Each download that runs: how far it is, in words and in percent."""
    running = [state for state in app.downloads.states() if not state.ended]
    return {state.name: {"text": state.status_text, "percent": state.percent} for state in running}


async def follow_state(app: App) -> AsyncIterator[bytes]:
    """The events of a page that shows no chat yet: the model's state alone."""
    waker = Waker()
    unsubscribe = app.supervisor.state_store.subscribe(lambda _: waker.poke("state"))
    try:
        yield event("state", describe_state(app))
        while True:
            await asyncio.sleep(GATHER_SECONDS)
            names = await waker.wait(KEEP_ALIVE_SECONDS)
            yield event("state", describe_state(app)) if names else b": still here\n\n"
    finally:
        unsubscribe()
