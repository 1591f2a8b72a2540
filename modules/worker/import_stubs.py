"""Stubs for imports of a script.py that a worker does not have: Gradio and text-generation-webui's modules.

A script.py is written for the process that serves the page. The worker calls only its two hooks, so other imports of
that file can be stubs.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from types import ModuleType

# Always stubs, although the worker has a package `modules` of Paddock.
_FOREIGN = ("modules", "extensions", "user_data", "gradio")


class Stub(ModuleType):
    """A stub for a module, class or function: every attribute and every call returns another stub."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub(f"{self.__name__}.{name}")

    def __call__(self, *given: object, **named: object) -> object:
        return given[0] if len(given) == 1 and callable(given[0]) and not named else Stub(self.__name__)

    def __mro_entries__(self, bases: tuple[object, ...]) -> tuple[type, ...]:
        return (object,)

    def __bool__(self) -> bool:
        return False


def stub_missing_imports(module: ModuleType, known: Mapping[str, ModuleType]) -> None:
    """Make imports in `module` return stubs for modules that the worker does not have.

    `known`: modules by full name that are returned as they are; a submodule becomes an attribute of its parent.
    """
    for name, found in known.items():
        parent, _, last = name.rpartition(".")
        if parent in known:
            setattr(known[parent], last, found)

    def stub(name: str, whole: bool) -> ModuleType:
        name = name if whole else name.split(".")[0]
        return known[name] if name in known else Stub(name)

    def find(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> object:
        if level == 0 and name.split(".")[0] in _FOREIGN:
            return stub(name, bool(fromlist))
        try:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        except ImportError:
            return stub(name, bool(fromlist))

    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": find}
