"""Load a model as text-generation-webui's API does: with a loader and settings in its names or in Paddock's."""

from __future__ import annotations

from collections.abc import Mapping

from modules.api.body_fields import flag_field, object_field, text_field
from modules.api.keep_alive_fields import apply_keep_alive, read_keep_alive
from modules.app import App
from modules.protocol.errors import SettingError, Unsupported
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.schema import describe

# text-generation-webui's loaders -> Paddock's, in lower case.
_LOADERS = {
    "llama.cpp": "xllamacpp",
    "llamacpp_hf": "llamacpp",
    "exllamav2_hf": "exllamav2",
    "autogptq": "autogptq",
    "hqq": "hqq",
}
# text-generation-webui's arguments -> the settings that they are here; the first that the loader has is meant.
_SETTINGS = {
    "ctx_size": ("context",),
    "n_ctx": ("context",),
    "max_seq_len": ("context",),
    "max_model_len": ("context",),
    "n_gpu_layers": ("gpu_layers",),
    "n-gpu-layers": ("gpu_layers",),
    "batch_size": ("batch",),
    "n_batch": ("batch",),
    "ubatch_size": ("micro_batch",),
    "threads-batch": ("threads_batch",),
    "cache_type": ("cache_type_k", "cache_type"),
    "attn_implementation": ("attention",),
    "parallel": ("slots",),
}
_TEMPLATES = ("instruction_template", "instruction_template_str")


def load_model(app: App, body: Mapping[str, object]) -> None:
    """Load the model that the body names; blocking. `args` and `settings` change what is saved for the model.

    With `beside` the current model stays. `pinned`, `ttl` and `keep_alive` say how long the model is kept. Raises
    PaddockError.
    """
    name = text_field(body, "model_name").strip().rstrip("/")
    if name not in app.library.names():
        raise app.on_request.not_found(name)
    beside, pinned = flag_field(body, "beside"), flag_field(body, "pinned")
    for field in _TEMPLATES:
        if text_field(body, field, ""):
            raise Unsupported(f"{field!r} cannot be set for a model here. Choose the template with each request.")
    given = {**object_field(body, "args"), **object_field(body, "settings")}
    loader = text_field(given, "loader", "") or text_field(body, "loader", "")
    given.pop("loader", None)
    loader = _LOADERS.get(loader.lower(), loader if loader in app.registry.specs else loader.lower())
    if loader and loader not in app.registry.specs:
        names = ", ".join(spec.name for spec in app.registry.shown())
        raise SettingError(f"There is no loader named {loader[:100]!r}. The loaders are: {names}.")
    spec, saved = app.loaders.choose(name, loader)
    settings, chosen = {**saved, **_settings(spec, given)} if given else None, read_keep_alive(body)
    if beside:
        app.on_request.load_beside(name, spec.name, settings)
    else:
        app.models.load(name, spec.name, settings)
    if model := app.pool.find(name):
        apply_keep_alive(model, chosen)
        model.pinned = pinned
        app.idle_unloader.wake()


def unload_model(app: App, name: str) -> None:
    """Unload the model `name`, "" for the current one; blocking. Raises ModelNotFound."""
    model = app.pool.find(name) if name else app.pool.current
    if model is None and name not in app.library.names():
        raise app.on_request.not_found(name)
    if model is app.pool.current:
        app.supervisor.unload()
    elif model is not None:
        app.pool.remove(model)


def _settings(spec: LoaderSpec, given: Mapping[str, object]) -> dict[str, object]:
    """Return the settings by Paddock's names. Raises SettingError for one that the loader does not have."""
    known = [setting.name for setting in describe(spec.settings)]
    found = {}
    for name, value in given.items():
        names = [other for other in (name, *_SETTINGS.get(name, ())) if other in known]
        if not names:
            raise SettingError(
                f"{spec.title} has no setting {name[:100]!r}. Its settings are: {', '.join(known)}. Use one of them."
            )
        found[names[0]] = value
        if name == "cache_type" and names[0] == "cache_type_k":
            found["cache_type_v"] = value
    return found
