"""Modules of text-generation-webui whose names can be imported, and that cannot work here: they reach into an engine,
which runs in another process."""

from __future__ import annotations

from typing import Any

from modules.compat.facade.base import FacadeModule, Impossible

_WHY = {
    "modules.evaluate": "the model is in a process of its own, which tells no perplexity",
    "modules.training": "training happens in a loader's own process",
    "modules.llama_cpp_python_hijack": "the engine runs in a process of its own",
}


class Internals(FacadeModule):
    """Every name of it is a function that raises a sentence."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Impossible(f"{self.__name__}.{name}", _WHY[self.__name__])
