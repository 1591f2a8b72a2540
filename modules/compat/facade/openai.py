"""extensions.openai: access to text-generation-webui's API. Middleware for its requests runs
around Paddock's requests below /v1."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from modules.compat.bridge.notes import caller
from modules.compat.facade.base import FacadeModule
from modules.plugins.extension_services import HttpMiddleware

if TYPE_CHECKING:
    from modules.compat.facade import Facade

_Function = TypeVar("_Function", bound=HttpMiddleware)


class OpenAi(FacadeModule):
    """The extension; it has its script."""


class Script(FacadeModule):
    """extensions.openai.script."""

    def __init__(self, name: str, facade: Facade) -> None:
        super().__init__(name, facade)
        self.app = Api()


class Api:
    """The web application, as far as it can be extended while it serves. `around`: script -> its functions."""

    def __init__(self) -> None:
        self.around: dict[str, list[HttpMiddleware]] = {}

    def middleware(self, middleware_type: str) -> Callable[[_Function], _Function]:
        """Decorates a coroutine function (request, call_next) -> response: from now on it runs around each request,
        as in Starlette, until its script is switched off. Raises ValueError for another kind than "http"."""
        if middleware_type != "http":
            raise ValueError(f'There is no middleware for {middleware_type!r}. Paddock has the kind "http".')

        def add(function: _Function) -> _Function:
            self.around.setdefault(caller(), []).append(function)
            return function

        return add

    def __getattr__(self, name: str) -> object:
        raise AttributeError(
            f"Paddock has no extensions.openai.script.app.{name}: its API can be wrapped but not changed"
        )
