"""Stand-ins for what a script.py imports and a worker does not have: the page's library and another program's modules.

Such a file is written for the process that serves the page. In the worker only its two hooks are called, so all else
that it imports may be inert, for that file alone.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

# Never taken from the worker's own process, though `modules` would be found there.
_FOREIGN = ("modules", "extensions", "user_data", "gradio")


class Stub(ModuleType):
    """Stands for a module, a class, a function and what they return: every attribute and every call is another."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return Stub(f"{self.__name__}.{name}")

    def __call__(self, *given: Any, **named: Any) -> Any:
        return given[0] if len(given) == 1 and callable(given[0]) and not named else Stub(self.__name__)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        return (object,)

    def __bool__(self) -> bool:
        return False


def stub_missing_imports(module: ModuleType, known: Mapping[str, ModuleType]) -> None:
    """Let imports of `module` that cannot be had here give stand-ins. `known`: full name -> the module for it; one that
    lies in another is also an attribute of that one."""
    for name, found in known.items():
        parent, _, last = name.rpartition(".")
        if parent in known:
            setattr(known[parent], last, found)

    def stand_in(name: str, whole: bool) -> ModuleType:
        name = name if whole else name.split(".")[0]
        return known[name] if name in known else Stub(name)

    def find(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if level == 0 and name.split(".")[0] in _FOREIGN:
            return stand_in(name, bool(fromlist))
        try:
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        except ImportError:
            return stand_in(name, bool(fromlist))

    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": find}
