"""Python's loaders read the code of extensions from source alone, and only as the user agreed to it.

Cached bytecode says nothing of the source beside it: below an extension's folder it is never read, with or without a
source file. A file that changed since the user agreed, or came later, cannot be imported. Standard library only: the
host and the workers use it.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import os
import zipimport
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

# Files whose ends of lines Git may write in the way of the system.
_PYTHON = (".py", ".pyw", ".pyx", ".pth", ".cfg", ".toml", ".yaml", ".txt")
_PAGE = (".js", ".mjs", ".cjs", ".ts", ".css", ".html", ".htm", ".jinja", ".svg")
_TEXT = frozenset((*_PYTHON, *_PAGE, ".sh", ".bat", ".cmd", ".ps1", ".vbs"))


def is_text(name: str) -> bool:
    """Whether a file of that name is text."""
    return PurePath(name).suffix.lower() in _TEXT


def digest(name: str, content: bytes) -> str:
    """sha256 of a file; the same for both kinds of line ends where it is text."""
    if is_text(name):
        content = content.replace(b"\r\n", b"\n")
    return hashlib.sha256(content).hexdigest()


class CodeAllowlist:
    """What may be imported from extensions' folders. Does nothing before the first `allow`, nor after `close`."""

    def __init__(self) -> None:
        self._folders: dict[str, Mapping[str, str]] = {}
        self._wraps: list[tuple[type, str, Any, Any]] = []

    def allow(self, folder: Path, files: Mapping[str, str]) -> None:
        """From now on, import from this folder these files alone. `files`: path with slashes -> its `digest`."""
        self._folders[_real(str(folder))] = dict(files)
        if not self._wraps:
            self._wrap(importlib.machinery.SourceFileLoader, "get_code", self._source)
            self._wrap(importlib.machinery.SourcelessFileLoader, "get_code", self._bytecode)
            self._wrap(importlib.machinery.ExtensionFileLoader, "create_module", self._native)
            self._wrap(zipimport.zipimporter, "__init__", self._archive)

    def close(self) -> None:
        """Leave Python's loaders as they were."""
        self._folders.clear()
        for owner, name, original, ours in self._wraps:
            # Where somebody wrapped it again, ours stays below, and hands on.
            if getattr(owner, name) is ours:
                setattr(owner, name, original)
        self._wraps.clear()

    def _wrap(self, owner: type, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        def ours(loader: Any, *given: Any, **named: Any) -> Any:
            return around(original, loader, *given, **named) if self._folders else original(loader, *given, **named)

        self._wraps.append((owner, name, original, ours))
        setattr(owner, name, ours)

    def _source(self, original: Callable[..., Any], loader: Any, fullname: str) -> Any:
        path = loader.get_filename(fullname)
        if (place := self._place(path)) is None:
            return original(loader, fullname)
        content = loader.get_data(path)
        self._check(place, content, fullname)
        return loader.source_to_code(content, path)

    def _bytecode(self, original: Callable[..., Any], loader: Any, fullname: str) -> Any:
        path = loader.get_filename(fullname)
        if (place := self._place(path)) is not None:
            raise ImportError(f"{place[1]} is bytecode, which is never run from an extension's folder", name=fullname)
        return original(loader, fullname)

    def _native(self, original: Callable[..., Any], loader: Any, spec: Any) -> Any:
        if (place := self._place(loader.path)) is not None:
            self._check(place, loader.get_data(loader.path), spec.name)
        return original(loader, spec)

    def _archive(self, original: Callable[..., Any], loader: Any, path: Any) -> None:
        original(loader, path)
        if (place := self._place(loader.archive)) is None:
            return
        try:
            self._check(place, Path(loader.archive).read_bytes(), "")
        except ImportError as error:
            raise zipimport.ZipImportError(str(error), path=loader.archive) from None

    def _place(self, path: str) -> tuple[str, str] | None:
        """(the extension's folder, the path in it) of a file; None for any other. A file that is a link counts where
        the link lies."""
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
                f"{name}/{inner} is not among the files that you agreed to run, or has changed since. Look at it, "
                f"switch {name} off and on, and agree to it",
                name=fullname,
            )


def _real(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))
