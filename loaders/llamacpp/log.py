"""Capture llama.cpp's log for error messages. Warnings and errors are also written to stderr."""

from __future__ import annotations

import ctypes
import sys
from collections import deque
from types import ModuleType

_MAX_LINES = 200
# ggml_log_level in ggml.h; 5 continues the line before.
_WARNING, _CONTINUED = 3, 5


class EngineLog:
    """Captures the log of the library `lib` while this object exists."""

    def __init__(self, lib: ModuleType) -> None:
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)
        self._level = 0
        self._lib = lib
        self._callback = lib.llama_log_callback(self._receive)
        lib.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _receive(self, level: int, text: bytes, user_data: object) -> None:
        line = text.decode("utf-8", "replace")
        if level != _CONTINUED:
            self._level = level
        if self._level >= _WARNING:
            self._lines.append(line)
            sys.stderr.write(line)

    def text(self) -> str:
        """Return the latest warnings and errors."""
        return "".join(self._lines).strip()
