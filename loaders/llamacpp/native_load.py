"""Load a GGUF file and make its context."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from loaders.llamacpp.log import EngineLog
from loaders.llamacpp.native import NativeModel
from loaders.llamacpp.native_params import context_parameters, model_parameters
from loaders.llamacpp.spec import Settings
from modules.worker.engine import Report
from modules.worker.llama.model_notes import load_error


def load_native(
    lib: ModuleType, path: Path, settings: Settings, context: int, pools: bool, log: EngineLog, report: Report
) -> tuple[NativeModel, Callable[[], Any]]:
    """Load the file at `path` with a context of `context` tokens. `pools`: as for `context_parameters`.

    Return the model, and a function that makes another such context, or a null pointer if there is no memory for it.
    Raises ModelError, OutOfMemory, SettingError.
    """
    params = model_parameters(lib, settings, lambda fraction: report("Loading the model", 0.9 * fraction))
    model = lib.llama_model_load_from_file(str(path).encode(), params)
    if not model:
        raise load_error(path.name, log.text(), context)
    report("Allocating the context", 0.9)
    own = context_parameters(lib, settings, context, path.stat().st_size, pools)

    def new_context() -> Any:
        return lib.llama_init_from_model(model, own)

    made = new_context()
    if not made:
        lib.llama_model_free(model)
        raise load_error(path.name, f"failed to initialize the context\n{log.text()}", context)
    return NativeModel(lib, model, made), new_context
