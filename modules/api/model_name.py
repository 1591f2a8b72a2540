"""Check the `model` of a request: it must be the loaded one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.app import App
from modules.protocol.errors import ModelError, SettingError


class ModelNotFound(ModelError):
    """No model in the models folder has this name."""

    code = "model_not_found"


class ModelNotLoaded(ModelError):
    """The model exists, but another one is loaded."""

    code = "model_not_loaded"


def not_found(app: App, name: str) -> ModelNotFound:
    """Return the error for a name that is not in the models folder."""
    count = len(app.library.names())
    return ModelNotFound(f"There is no model named {name[:200]!r}. GET /v1/models lists the {count} models.")


def check_model(app: App, body: Mapping[str, Any]) -> None:
    """Raise if the request names a model that is not loaded. A request without a name means the loaded model."""
    value = body.get("model")
    if value is not None and not isinstance(value, str):
        raise SettingError("'model' must be the name of a model, as GET /v1/models lists it.")
    name, state = (value or "").strip().rstrip("/"), app.supervisor.state
    if not name or name == state.model:
        return
    if name not in app.library.names():
        raise not_found(app, name)
    if state.phase == "ready":
        raise ModelNotLoaded(
            f"The model {name[:200]!r} is not loaded; {state.model!r} is. Load it on the page, or use the loaded one."
        )
