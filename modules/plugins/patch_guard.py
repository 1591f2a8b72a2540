"""Detects and undoes replacements that an extension makes in objects that other code uses too."""

from __future__ import annotations

import builtins
import os
import socket
import sys
import threading
from pathlib import Path
from types import ModuleType

_NAMES: dict[ModuleType, tuple[str, ...]] = {
    builtins: ("open", "print", "__import__", "exec", "eval", "compile", "input"),
    threading: ("Thread", "Lock", "RLock", "Event"),
    socket: ("socket", "create_connection", "getaddrinfo"),
    os: ("_exit", "kill", "open", "remove", "system"),
    sys: ("excepthook", "exit"),
}


class PatchGuard:
    """Remembers the objects as they were when this was created. `restore` puts them back."""

    def __init__(self) -> None:
        self._originals: list[tuple[ModuleType, str, object]] = [
            (module, name, getattr(module, name)) for module, names in _NAMES.items() for name in names
        ]
        self._gradio: ModuleType | None = None
        self._first_folder = self._folder = Path.cwd()

    def change_directory(self, folder: Path) -> None:
        """Make this the working directory."""
        os.chdir(folder)
        self._folder = Path.cwd()

    def close(self) -> None:
        """Return to the first working directory."""
        if self._folder != self._first_folder:
            self.change_directory(self._first_folder)

    def watch_gradio(self) -> None:
        """Also watch Gradio's public classes, if Gradio has been imported."""
        gradio = sys.modules.get("gradio")
        if gradio is not None and self._gradio is None and hasattr(gradio, "Blocks"):
            self._gradio = gradio
            names = [name for name in vars(gradio) if name[0] != "_" and callable(getattr(gradio, name))]
            self._originals += [(gradio, name, getattr(gradio, name)) for name in names]

    def restore(self) -> list[str]:
        """Put all originals back. Return the names of what had been replaced, such as "gradio.Blocks"."""
        replaced = []
        for module, name, original in self._originals:
            if getattr(module, name, None) is not original:
                setattr(module, name, original)
                replaced.append(f"{module.__name__}.{name}")
        if Path.cwd() != self._folder:
            os.chdir(self._folder)
            replaced.append("the working directory")
        return replaced
