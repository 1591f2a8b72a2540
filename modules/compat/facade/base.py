"""The base of the facade's modules: an object whose methods and attributes are the module's names."""

from __future__ import annotations

from types import ModuleType
from typing import Any, NoReturn, Protocol

from modules.app import App
from modules.protocol.errors import Unsupported


class ModuleSource(Protocol):
    """How a module of the facade finds the others. The Facade implements it."""

    app: App
    widgets: Any

    def module(self, name: str) -> ModuleType:
        """Return the module `modules.NAME`. Raises HostNameMissing."""


class FacadeModule(ModuleType):
    """A module of the facade. Scripts may set attributes; Paddock itself never reads them."""

    def __init__(self, name: str, facade: ModuleSource) -> None:
        super().__init__(name)
        self._facade = facade
        self._app = facade.app
        self.__all__ = [known for known in dir(type(self)) if known[0] != "_" and known not in dir(ModuleType)]

    def __getattr__(self, name: str) -> object:
        raise AttributeError(f"Paddock has no {self.__name__}.{name}, which exists in text-generation-webui")


class Impossible:
    """A function that cannot exist here. It can be imported, but calling it raises Unsupported."""

    def __init__(self, symbol: str, why: str) -> None:
        self.__name__ = symbol
        self._why = why

    def __call__(self, *given: object, **named: object) -> NoReturn:
        raise Unsupported(
            f"{self.__name__} reaches inside of text-generation-webui, and cannot exist in Paddock: {self._why}. Do "
            "without what this extension wanted to do here."
        )
