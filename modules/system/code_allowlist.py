"""Restricts Python's import of extension code to source files that the user allowed.

Bytecode below an extension's folder is never read, because it may not match the source next to it. A file that changed
or appeared after the user allowed the extension cannot be imported. Standard library only: host and workers use it.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import os
import zipimport
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

# Files whose line ends Git may convert to those of the system.
_PYTHON = (".py", ".pyw", ".pyx", ".pth", ".cfg", ".toml", ".yaml", ".txt")
_PAGE = (".js", ".mjs", ".cjs", ".ts", ".css", ".html", ".htm", ".jinja", ".svg")
_TEXT = frozenset((*_PYTHON, *_PAGE, ".sh", ".bat", ".cmd", ".ps1", ".vbs"))


def is_text(name: str) -> bool:
    """Return True if a file of this name is text."""
    return PurePath(name).suffix.lower() in _TEXT


def digest(name: str, content: bytes) -> str:
    """Return the SHA-256 of a file. For text files it is the same with both kinds of line ends."""
    if is_text(name):
        content = content.replace(b"\r\n", b"\n")
    return hashlib.sha256(content).hexdigest()


class CodeAllowlist:
    """The files that may be imported from extensions' folders. Inactive before the first `allow` and after `close`."""

    def __init__(self) -> None:
        self._folders: dict[str, Mapping[str, str]] = {}
        self._wraps: list[tuple[type, str, Any, Any]] = []

    def allow(self, folder: Path, files: Mapping[str, str]) -> None:
        """Allow only these files to be imported from this folder. `files`: path with slashes -> its `digest`."""
        self._folders[_real(str(folder))] = dict(files)
        if not self._wraps:
            self._wrap(importlib.machinery.SourceFileLoader, "get_code", self._source)
            self._wrap(importlib.machinery.SourcelessFileLoader, "get_code", self._bytecode)
            self._wrap(importlib.machinery.ExtensionFileLoader, "create_module", self._native)
            self._wrap(zipimport.zipimporter, "__init__", self._archive)

    def close(self) -> None:
        """Restore Python's import loaders."""
        self._folders.clear()
        for owner, name, original, wrapper in self._wraps:
            # If other code wrapped it again, this wrapper stays below and calls the original.
            if getattr(owner, name) is wrapper:
                setattr(owner, name, original)
        self._wraps.clear()

    def _wrap(self, owner: type, name: str, around: Callable[..., object]) -> None:
        original = getattr(owner, name)

        def wrapper(loader: object, *args: object, **kwargs: object) -> object:
            return around(original, loader, *args, **kwargs) if self._folders else original(loader, *args, **kwargs)

        self._wraps.append((owner, name, original, wrapper))
        setattr(owner, name, wrapper)

    def _source(self, original: Callable[..., object], loader: Any, fullname: str) -> object:
        path = loader.get_filename(fullname)
        if (place := self._place(path)) is None:
            return original(loader, fullname)
        content = loader.get_data(path)
        self._check(place, content, fullname)
        return loader.source_to_code(content, path)

    def _bytecode(self, original: Callable[..., object], loader: Any, fullname: str) -> object:
        path = loader.get_filename(fullname)
        if (place := self._place(path)) is not None:
            raise ImportError(f"{place[1]} is bytecode, which is never run from an extension's folder", name=fullname)
        return original(loader, fullname)

    def _native(self, original: Callable[..., object], loader: Any, spec: Any) -> object:
        if (place := self._place(loader.path)) is not None:
            self._check(place, loader.get_data(loader.path), spec.name)
        return original(loader, spec)

    def _archive(self, original: Callable[..., object], loader: Any, path: Any) -> None:
        original(loader, path)
        if (place := self._place(loader.archive)) is None:
            return
        try:
            self._check(place, Path(loader.archive).read_bytes(), "")
        except ImportError as error:
            raise zipimport.ZipImportError(str(error), path=loader.archive) from None

    def _place(self, path: str) -> tuple[str, str] | None:
        """Return (the extension's folder, the path in it) of a file, or None for other files.

        A link counts both where it is and where it leads.
        """
        file = Path(path)
        for real in (Path(_real(str(file.parent)), file.name), Path(_real(path))):
            for folder in self._folders:
                if real.is_relative_to(folder):
                    return folder, real.relative_to(folder).as_posix()
        return None

    def _check(self, place: tuple[str, str], content: bytes, fullname: str) -> None:
        folder, inner = place
        if self._folders[folder].get(inner) != digest(inner, content):
            name = Path(folder).name
            raise ImportError(
                f"{name}/{inner} is not one of the files that you allowed, or has changed since. Look at it, then "
                f"switch {name} off and on, and allow it",
                name=fullname,
            )


def _real(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))
