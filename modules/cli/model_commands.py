"""`webui.py models …`: list, rename, discard, restore."""

from __future__ import annotations

import argparse
import json
from typing import Any

from modules.app import App
from modules.cli.application import build_app
from modules.library.sizes import format_size
from modules.protocol.errors import PaddockError
from modules.settings.config import Config
from modules.system.program_name import program_name


def models(config: Config, arguments: argparse.Namespace) -> int:
    """List the models and adapters, rename, discard or restore one."""
    app = build_app(config)
    try:
        answer = _VERBS[arguments.verb](app, arguments.name, arguments.new)
        text = answer.pop("text")
        print(json.dumps(answer, ensure_ascii=False) if arguments.json else text)
    finally:
        app.close()
    return 0


def _list(app: App, name: str, new: str) -> dict[str, Any]:
    found = [("model", app.library.facts(model)) for model in app.library.names()]
    rows: list[dict[str, Any]] = [
        {"name": facts.name, "kind": kind, "size_bytes": facts.size_bytes} for kind, facts in found
    ]
    rows += [{"name": one.name, "kind": "adapter", "size_bytes": one.size_bytes} for one in app.library.adapters()]
    trash = app.model_management.discarded()
    lines = [f"{format_size(row['size_bytes']):>9}  {row['kind']:<8} {row['name']}" for row in rows]
    lines += [f"{'':>9}  {'trash':<8} {entry['name']}" for entry in trash]
    return {"models": rows, "trash": trash, "text": "\n".join(lines) or "There are no models yet."}


def _rename(app: App, name: str, new: str) -> dict[str, object]:
    if not name or not new:
        raise PaddockError(f"Name the model and its new name: {program_name()} models rename OLD NEW")
    renamed = app.model_management.rename(name, new)
    return {"model": renamed, "text": f"{name} is now called {renamed}."}


def _discard(app: App, name: str, new: str) -> dict[str, Any]:
    if not name:
        raise PaddockError(f"Name the model: {program_name()} models discard NAME")
    trash = app.model_management.discard(name)
    return {"trash": trash, "text": f"{name} is in the trash. Undo it: {program_name()} models restore {name}"}


def _restore(app: App, name: str, new: str) -> dict[str, Any]:
    found = app.model_management.discarded()
    id = next((entry["id"] for entry in found if name and name in (entry["name"], entry["id"])), "")
    if not id:
        there = ", ".join(entry["name"] for entry in found) or "nothing"
        raise PaddockError(f"There is no model {name[:200]!r} in the trash. The trash has: {there}.")
    restored = app.model_management.restore(id)
    return {"model": restored, "text": f"{restored} is in models/ again."}


_VERBS = {"list": _list, "rename": _rename, "discard": _discard, "restore": _restore}
