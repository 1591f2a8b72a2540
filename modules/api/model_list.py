"""The list of models for API clients: the loaded ones first, then the others, then the aliases."""

from __future__ import annotations

import contextlib
import time

from modules.app import App
from modules.protocol.errors import PaddockError
from modules.runtime.model_state import ModelState

# Reading the headers of many models takes time at the first call. After this, the rest comes without their facts.
_SECONDS = 2.0


def model_list(app: App) -> list[dict[str, object]]:
    """Return an entry for each model and alias."""
    names = app.library.names()
    loaded = [model.name for model in app.pool.models if model.name in names]
    end = time.monotonic() + _SECONDS
    entries = [_entry(app, name, end) for name in dict.fromkeys([*loaded, *names])]
    return entries + [_alias(app, alias, end) for alias in app.on_request.aliases if alias not in names]


def model_entry(app: App, name: str) -> dict[str, object] | None:
    """Return the entry of the model or alias `name`, or None if there is none."""
    end = time.monotonic() + _SECONDS
    if name in app.library.names():
        return _entry(app, name, end)
    return _alias(app, name, end) if name in app.on_request.aliases else None


def _alias(app: App, alias: str, end: float) -> dict[str, object]:
    name = app.on_request.aliases[alias]
    return {**_entry(app, name, end), "id": alias, "alias_of": name}


def _entry(app: App, name: str, end: float) -> dict[str, object]:
    """Return what is known of a model. Its files are not read after the time `end`."""
    found = app.pool.find(name)
    state = found.supervisor.state if found else ModelState()
    loaded = state.phase == "ready"
    entry: dict[str, object] = {
        "id": name,
        "object": "model",
        "created": 0,  # Typed clients refuse an entry without it; when a model was made is unknown.
        "owned_by": "local",
        "loaded": loaded,
        "state": state.phase if found else "not loaded",
        "loader": state.loader if found else None,
        "context": state.info.context if loaded and state.info else None,
        "size_bytes": None,
        "sees_images": state.info.sees_images if loaded and state.info else None,
        "hears_audio": bool(state.info.audio_formats) if loaded and state.info else None,
        "purpose": None,
    }
    if time.monotonic() < end:
        with contextlib.suppress(PaddockError):
            facts = app.library.facts(name)
            entry["size_bytes"] = facts.size_bytes
            entry["purpose"] = facts.purpose or None
            entry["context"] = entry["context"] or facts.context or None
            entry["sees_images"] = facts.vision if entry["sees_images"] is None else entry["sees_images"]
            entry["hears_audio"] = facts.audio if entry["hears_audio"] is None else entry["hears_audio"]
            entry["loader"] = entry["loader"] or app.loaders.choose(name)[0].name
    return entry
