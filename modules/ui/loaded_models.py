"""The models that are loaded beside the page's own: what the Model tab lists, and the routes to unload and pin them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel

from modules.files.data_files import fix_surrogates
from modules.library.sizes import format_size
from modules.protocol.errors import ModelError
from modules.ui.number_format import seconds

if TYPE_CHECKING:
    from modules.app import App
    from modules.runtime.pool_model import PoolModel


class LoadedModelRequest(BaseModel):
    """A loaded model, by name."""

    model: Annotated[str, AfterValidator(fix_surrogates)]
    pinned: bool = False


def loaded_beside(app: App) -> list[list[object]]:
    """Return [name, phase, pinned] of each model beside the page's own, which is the first if there are others or it
    is pinned. It changes when the list on the Model tab has to be read again."""
    return [[model.name, model.supervisor.state.phase, model.pinned] for model in _listed(app)]


def add_loaded_model_routes(routes: APIRouter, app: App) -> None:
    """Add the routes below /paddock/models/loaded."""

    @routes.get("/models/loaded")
    def loaded() -> list[dict[str, Any]]:
        return [_describe(app, model) for model in _listed(app)]

    @routes.post("/models/loaded/unload")
    def unload(request: LoadedModelRequest) -> dict[str, Any]:
        """Unload a model beside the page's own, also while it is used."""
        return {"freed": format_size(app.pool.remove(_find(app, request.model)))}

    @routes.post("/models/loaded/pin")
    def pin(request: LoadedModelRequest) -> dict[str, object]:
        model = _find(app, request.model)
        model.pinned = request.pinned
        app.pool.publish()
        app.idle_unloader.wake()
        return {"pinned": model.pinned}


def _listed(app: App) -> list[PoolModel]:
    others = [model for model in app.pool.others if model.name]
    current = app.pool.current
    return [*([current] if current.ready and (others or current.pinned) else []), *others]


def _find(app: App, name: str) -> PoolModel:
    model = app.pool.find(name) if name else None
    if model is None:
        raise ModelError(f"{name} is not loaded any more.")
    return model


def _describe(app: App, model: PoolModel) -> dict[str, object]:
    state = model.supervisor.state
    spec = app.registry.specs.get(state.loader)
    facts = [spec.title if spec else state.loader, format_size(model.supervisor.memory_bytes()), _use(model)]
    return {
        "model": state.model,
        "facts": " · ".join(facts) if model.ready else state.text or "Loading",
        "error": state.error.message if state.error else "",
        "pinned": model.pinned,
        "current": model is app.pool.current,
    }


def _use(model: PoolModel) -> str:
    """Return how long ago the model was used, and when it is unloaded if it is not used again."""
    idle, keep = model.idle_seconds, model.keep_alive
    if idle is None:
        return "in use"
    used = "used just now" if idle < 1 else f"used {seconds(int(idle))} ago"
    return used if keep is None or model.pinned else f"{used}, unloaded in {seconds(int(max(0.0, keep - idle)))}"
