"""Notices, and undoes, an extension that puts something of its own in the place of what everybody uses."""

from __future__ import annotations

import builtins
import os
import socket
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

_NAMES: dict[str, tuple[str, ...]] = {
    "builtins": ("open", "print", "__import__", "exec", "eval", "compile", "input"),
    "threading": ("Thread", "Lock", "RLock", "Event"),
    "socket": ("socket", "create_connection", "getaddrinfo"),
    "os": ("_exit", "kill", "open", "remove", "system"),
    "sys": ("excepthook", "exit"),
}


class PatchGuard:
    """What was there when this was made. `restore` puts it back and says what had been replaced."""

    def __init__(self) -> None:
        modules: dict[str, ModuleType] = {
            "builtins": builtins,
            "threading": threading,
            "socket": socket,
            "os": os,
            "sys": sys,
        }
        self._kept: list[tuple[ModuleType, str, Any]] = [
            (modules[module], name, getattr(modules[module], name))
            for module, names in _NAMES.items()
            for name in names
        ]
        self._gradio: ModuleType | None = None
        self._begin = self._folder = Path.cwd()

    def change_directory(self, folder: Path) -> None:
        """This is the working directory from now on."""
        os.chdir(folder)
        self._folder = Path.cwd()

    def close(self) -> None:
        """Back to the working directory of the beginning."""
        if self._folder != self._begin:
            self.change_directory(self._begin)

    def watch_gradio(self) -> None:
        """Watch Gradio's public classes too, once somebody has imported it."""
        gradio = sys.modules.get("gradio")
        if gradio is not None and self._gradio is None and hasattr(gradio, "Blocks"):
            self._gradio = gradio
            names = [name for name in vars(gradio) if name[0] != "_" and callable(getattr(gradio, name))]
            self._kept += [(gradio, name, getattr(gradio, name)) for name in names]

    def restore(self) -> list[str]:
        """Put everything back; the names of what was replaced ("gradio.Blocks")."""
        replaced = []
        for module, name, original in self._kept:
            if getattr(module, name, None) is not original:
                setattr(module, name, original)
                replaced.append(f"{module.__name__}.{name}")
        if Path.cwd() != self._folder:
            os.chdir(self._folder)
            replaced.append("the working directory")
        return replaced
