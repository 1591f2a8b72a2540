"""The `model` of a request: the loaded one, or an error that says what else there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.app import App
from modules.protocol.errors import ModelError, SettingError


class ModelNotFound(ModelError):
    """No model of that name is in the models folder."""

    code = "model_not_found"


class ModelNotLoaded(ModelError):
    """The model is there, and another one is loaded."""

    code = "model_not_loaded"


def not_found(app: App, name: str) -> ModelNotFound:
    """The error for a name that is not in the models folder."""
    count = len(app.library.names())
    return ModelNotFound(f"There is no model named {name[:200]!r}. GET /v1/models lists the {count} that are here.")


def check_model(app: App, body: Mapping[str, Any]) -> None:
    """Raise where the request names another model than the loaded one. No name at all means the loaded one."""
    given = body.get("model")
    if given is not None and not isinstance(given, str):
        raise SettingError("'model' must be the name of a model, as GET /v1/models lists it.")
    name, state = (given or "").strip().rstrip("/"), app.supervisor.state
    if not name or name == state.model:
        return
    if name not in app.library.names():
        raise not_found(app, name)
    if state.phase == "ready":
        raise ModelNotLoaded(
            f"The model {name[:200]!r} is not loaded, {state.model!r} is. Load it on the page, or ask for that one."
        )
