"""The model's state, as it is sent to every page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from modules.library.sizes import format_size
from modules.ui.json_errors import error_json
from modules.ui.loaded_models import loaded_beside
from modules.ui.look import LOOK_SETTINGS
from modules.ui.nodes import node_states
from modules.ui.sse import event_stream, sse_event

if TYPE_CHECKING:
    from modules.app import App


def describe_state(app: App) -> dict[str, object]:
    """Return what the header, the load bar and an empty chat show."""
    state = app.supervisor.state
    spec = app.registry.specs.get(state.loader) if state.loader else None
    shown: dict[str, object] = {
        "phase": state.phase,
        "model": state.model or "",
        "loader": state.loader or "",
        "title": spec.title if spec else (state.loader or ""),
        "text": state.text,
        "fraction": state.fraction,
        "error": error_json(state.error) if state.error else None,
        "page": app.page_build,
        "downloads": {"turns": app.downloads.revision, "under_way": _under_way(app)},
        "extensions": app.extensions.failures.revision,
        "theme": app.settings.get("theme", "system"),
        "language": app.settings.get("language", ""),
        "look": [app.settings.get(key, "") for key in LOOK_SETTINGS],
        "read_replies": bool(app.settings.get("read_replies", False)),
        "collapse_replies": bool(app.settings.get("collapse_replies", False)),
        "adapters": state.adapters,
        "job": _ended_job(app),
        "beside": loaded_beside(app) if app.may_manage else [],
        "nodes": node_states(app) if app.may_manage else [],
    }
    if state.info:
        info, on_cards = state.info, app.supervisor.card_bytes()
        shown |= {"context": info.context, "device": info.device, "notes": list(info.notes)}
        shown |= {"sees": info.sees_images, "hears": list(info.audio_formats)}
        shown["on_cards"] = format_size(on_cards) if on_cards else ""
    return shown


def _ended_job(app: App) -> dict[str, object] | None:
    """Return the job of the Workshop that ended last in this run, or None."""
    job = app.job_queue.last_ended
    if job is None or not app.may_manage:
        return None
    state = job.state
    return {"title": job.spec.title(), "status": state.status, "ended": state.ended, "message": state.message}


def _under_way(app: App) -> dict[str, dict[str, object]]:
    """Return the progress of each running download, as a text and in percent."""
    running = [state for state in app.downloads.states() if not state.ended]
    return {state.name: {"text": state.status_text, "percent": state.percent} for state in running}


def follow_state(app: App) -> AsyncIterator[bytes]:
    """Return the events of a page that shows no chat yet: only the model's state."""

    async def events(names: set[str]) -> AsyncIterator[bytes]:
        if "state" in names:
            yield sse_event(describe_state(app), "state")

    return event_stream({"state": app.supervisor.state_store.subscribe}, events)
