"""vLLM's processes end with the worker, however it ends: one that is killed can end nothing itself, and vLLM's engine
process would stay, with all its memory."""

from __future__ import annotations

import os
import subprocess
import sys

# Its stdin ends when the worker does; then the whole process group goes, itself included.
_WATCH = "import os, signal, sys; sys.stdin.read(); os.killpg(0, signal.SIGKILL)"


class Leash:
    """A small process that watches this one. Does nothing where this process does not lead a group of its own, as a
    worker of Paddock's does: others would be in it."""

    def __init__(self) -> None:
        self._watch: subprocess.Popen[bytes] | None = None
        if os.name == "posix" and os.getpgrp() == os.getpid():
            self._watch = subprocess.Popen(
                [sys.executable, "-S", "-c", _WATCH], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
            )

    @property
    def holds(self) -> bool:
        """Whether anything is watching."""
        return self._watch is not None

    def release(self) -> None:
        """All has been ended in order."""
        if self._watch is not None:
            self._watch.kill()
            self._watch.wait()
