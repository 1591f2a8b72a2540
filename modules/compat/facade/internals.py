"""Modules of text-generation-webui that can be imported but do not work here: they use the internals of an engine,
which runs in another process."""

from __future__ import annotations

from modules.compat.facade.base import FacadeModule, Impossible

_WHY = {
    "modules.evaluate": "the model is in another process, which does not compute perplexity on request",
    "modules.training": "training happens in a loader's own process",
    "modules.llama_cpp_python_hijack": "the engine runs in another process",
}


class Internals(FacadeModule):
    """A module in which every name is a function that raises an error."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return Impossible(f"{self.__name__}.{name}", _WHY[self.__name__])
