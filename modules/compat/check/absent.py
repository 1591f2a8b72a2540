"""Inert stand-ins for packages that are not installed, so that a check can judge the host alone."""

from __future__ import annotations

import dis
import importlib.abc
import importlib.machinery
import sys
import urllib.parse
from abc import ABCMeta
from collections.abc import Iterator, Sequence
from importlib import metadata
from json import JSONEncoder
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any, ClassVar

from modules.plugins.extension_import import PACKAGE

_FAULTS = ("Error", "Exception", "Timeout", "Warning", "Exit")


class _Any(ABCMeta):
    """Every stand-in is a class, so that it can also be a base, an annotation, and the second argument of isinstance;
    what is asked of it gives another one. `asked`: where one was compared, and was not what it was compared with."""

    asked: ClassVar[set[tuple[CodeType, int]]] = set()

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)

    def __call__(cls, *given: Any, **named: Any) -> Any:
        if not vars(cls).get("_stand_in"):
            return super().__call__(*given, **named)
        if issubclass(cls, BaseException):
            return super().__call__(*given)
        # Used as a decorator, it leaves the function as it is.
        plain = len(given) == 1 and callable(given[0]) and not named and not isinstance(given[0], _Any)
        return given[0] if plain else stand_in(cls.__name__)

    def __iter__(cls) -> Iterator[Any]:
        # As many as `a, b = …` wants; else one, as the first of what a package would have found is often taken.
        return iter([stand_in(cls.__name__) for _ in range(_wanted(sys._getframe(1)) or 1)])

    def __getitem__(cls, key: Any) -> Any:
        return stand_in(cls.__name__)

    def __setitem__(cls, key: Any, value: Any) -> None:
        pass

    def __contains__(cls, key: Any) -> bool:
        return False

    def __len__(cls) -> int:
        return 0

    def __bool__(cls) -> bool:
        return False

    def __int__(cls) -> int:
        return 0

    __index__ = __int__

    def __float__(cls) -> float:
        return 0.0

    def __fspath__(cls) -> str:
        return "stand-in"

    def __enter__(cls) -> Any:
        return cls

    def __exit__(cls, *about: Any) -> None:
        pass

    def _compare(cls, other: Any) -> bool:
        # The next time it is asked at the same place, the other answer: a loop that waits for one of them ends.
        frame = sys._getframe(1)
        _Any.asked ^= {place := (frame.f_code, frame.f_lasti)}
        return place not in _Any.asked

    def _combine(cls, *others: Any) -> Any:
        return stand_in(cls.__name__)

    __lt__ = __le__ = __gt__ = __ge__ = _compare
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _combine
    __mod__ = __pow__ = __neg__ = __matmul__ = __floordiv__ = _combine


def _wanted(frame: FrameType) -> int:
    """How many values the instruction that a frame is at takes apart; 0: it is none of that kind."""
    for instruction in dis.get_instructions(frame.f_code):
        if instruction.offset == frame.f_lasti and instruction.opname == "UNPACK_SEQUENCE":
            return int(instruction.arg or 0)
    return 0


class _Base:
    """What a class of theirs that derives from a stand-in gets: it can be made, and has every attribute."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)


class _Fault(Exception):
    """Can be raised and caught; nothing raises it."""


def stand_in(name: str) -> Any:
    """One that is called so."""
    base = _Fault if name.endswith(_FAULTS) else _Base
    return _Any(name, (base,), {"_stand_in": True, "__module__": "absent"})


class _Module(ModuleType):
    __version__ = "0.0.0"
    __all__: list[str] = []
    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)


class _Facts(metadata.Distribution):
    """What importlib.metadata tells of one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read_text(self, filename: str) -> str | None:
        """The least that there must be."""
        return f"Name: {self._name}\nVersion: 0.0.0\n" if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Path:
        """There are no files."""
        return Path(path)


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives stand-ins for these packages (`yaml`, `package.inner`) and all that is in them, where nobody else finds
    them."""

    def __init__(self, packages: set[str]) -> None:
        self._packages = packages

    def install(self) -> None:
        """From now on, in this process."""
        sys.meta_path.append(self)
        # What a package would have given, such as an answer from the network, is often written down as it is, or asked
        # for at an address.
        otherwise, plainly = JSONEncoder.default, urllib.parse.quote_from_bytes

        def default(encoder: JSONEncoder, value: Any) -> Any:
            return None if isinstance(value, _Any) else otherwise(encoder, value)

        def quoted(value: Any, safe: Any = "/") -> str:
            return plainly(value.__name__.encode() if isinstance(value, _Any) else value, safe)

        encoders: Any = JSONEncoder
        encoders.default = default
        addresses: Any = urllib.parse
        addresses.quote_from_bytes = quoted

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Part of Python's import protocol."""
        parts = fullname.split(".")
        if not any(".".join(parts[:length]) in self._packages for length in range(1, len(parts) + 1)):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def find_distributions(self, context: metadata.DistributionFinder.Context) -> list[metadata.Distribution]:
        """Part of importlib.metadata's protocol. Versions of anything, for the extension's own code."""
        frame = sys._getframe(1)
        while frame.f_back and str(frame.f_globals.get("__name__")).startswith("importlib"):
            frame = frame.f_back
        theirs = str(frame.f_globals.get("__name__")).startswith(f"{PACKAGE}.")
        return [_Facts(context.name)] if context.name and theirs else []

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Part of Python's import protocol."""
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing runs."""
