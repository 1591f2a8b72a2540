"""Stand-ins for packages that are not installed, so that a check tests only the host."""

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
    """The metaclass of stand-ins.

    A stand-in is a class, so that it can also be a base class, an annotation, and the second argument of isinstance.
    Its attributes and results are stand-ins too. `compared`: the code positions where a comparison returned False.
    """

    compared: ClassVar[set[tuple[CodeType, int]]] = set()

    def __getattr__(cls, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)

    def __call__(cls, *args: object, **named: object) -> object:
        if not vars(cls).get("_stand_in"):
            return super().__call__(*args, **named)
        if issubclass(cls, BaseException):
            return super().__call__(*args)
        # As a decorator, it returns the function unchanged.
        plain = len(args) == 1 and callable(args[0]) and not named and not isinstance(args[0], _Any)
        return args[0] if plain else stand_in(cls.__name__)

    def __iter__(cls) -> Iterator[object]:
        # As many as `a, b = …` needs, else one: code often takes the first result.
        return iter([stand_in(cls.__name__) for _ in range(_unpacked_count(sys._getframe(1)) or 1)])

    def __getitem__(cls, key: object) -> object:
        return stand_in(cls.__name__)

    def __setitem__(cls, key: object, value: object) -> None:
        pass

    def __contains__(cls, key: object) -> bool:
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

    def __enter__(cls) -> object:
        return cls

    def __exit__(cls, *about: object) -> None:
        pass

    def _compare(cls, other: object) -> bool:
        # The result alternates at each code position, so that a loop that waits for one of them ends.
        frame = sys._getframe(1)
        _Any.compared ^= {place := (frame.f_code, frame.f_lasti)}
        return place not in _Any.compared

    def _combine(cls, *others: object) -> object:
        return stand_in(cls.__name__)

    __lt__ = __le__ = __gt__ = __ge__ = _compare
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _combine
    __mod__ = __pow__ = __neg__ = __matmul__ = __floordiv__ = _combine


def _unpacked_count(frame: FrameType) -> int:
    """Return the number of values that the frame's current instruction unpacks; 0 if it unpacks none."""
    for instruction in dis.get_instructions(frame.f_code):
        if instruction.offset == frame.f_lasti and instruction.opname == "UNPACK_SEQUENCE":
            return int(instruction.arg or 0)
    return 0


class _Base:
    """The base of classes that derive from a stand-in. Has every attribute."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__()

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)


class _Fault(Exception):
    """An exception that extensions can raise and catch."""


def stand_in(name: str) -> object:
    """Return a stand-in of this name."""
    base = _Fault if name.endswith(_FAULTS) else _Base
    return _Any(name, (base,), {"_stand_in": True, "__module__": "absent"})


class _Module(ModuleType):
    __version__ = "0.0.0"
    __all__: list[str] = []
    __path__: list[str] = []

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return stand_in(name)


class _Metadata(metadata.Distribution):
    """The metadata of an absent package, for importlib.metadata."""

    def __init__(self, name: str) -> None:
        self._name = name

    def read_text(self, filename: str) -> str | None:
        """Return the minimal metadata."""
        return f"Name: {self._name}\nVersion: 0.0.0\n" if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Path:
        """Return the path unchanged: there are no files."""
        return Path(path)


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports stand-ins for these packages (`yaml`, `package.inner`) and their modules, if no other finder has them."""

    def __init__(self, packages: set[str]) -> None:
        self._packages = packages

    def install(self) -> None:
        """Use the stand-ins from now on in this process."""
        sys.meta_path.append(self)
        # Code often writes a package's result as JSON, or puts it into an address.
        original_default, original_quote = JSONEncoder.default, urllib.parse.quote_from_bytes

        def default(encoder: JSONEncoder, value: object) -> object:
            return None if isinstance(value, _Any) else original_default(encoder, value)

        def quoted(value: Any, safe: Any = "/") -> str:
            return original_quote(value.__name__.encode() if isinstance(value, _Any) else value, safe)

        encoders: Any = JSONEncoder
        encoders.default = default
        addresses: Any = urllib.parse
        addresses.quote_from_bytes = quoted

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Implement Python's import protocol."""
        parts = fullname.split(".")
        if not any(".".join(parts[:length]) in self._packages for length in range(1, len(parts) + 1)):
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def find_distributions(self, context: metadata.DistributionFinder.Context) -> list[metadata.Distribution]:
        """Implement importlib.metadata's protocol: any package has a version, for the extension's own code."""
        frame = sys._getframe(1)
        while frame.f_back and str(frame.f_globals.get("__name__")).startswith("importlib"):
            frame = frame.f_back
        is_extension = str(frame.f_globals.get("__name__")).startswith(f"{PACKAGE}.")
        return [_Metadata(context.name)] if context.name and is_extension else []

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """Implement Python's import protocol."""
        return _Module(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing."""
