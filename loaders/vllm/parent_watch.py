"""End vLLM's processes when the worker dies.

A worker that is killed cannot end anything, and vLLM's engine process would stay with all its memory.
"""

from __future__ import annotations

import os
import subprocess
import sys

# Its stdin is closed when the worker dies. Then it kills the whole process group, itself included.
_WATCH = "import os, signal, sys; sys.stdin.read(); os.killpg(0, signal.SIGKILL)"


class ParentWatch:
    """A small process that watches this one.

    Does nothing if this process does not lead a process group, as Paddock's workers do. Otherwise the group would
    contain unrelated processes.
    """

    def __init__(self) -> None:
        self._watch: subprocess.Popen[bytes] | None = None
        if os.name == "posix" and os.getpgrp() == os.getpid():
            self._watch = subprocess.Popen(
                [sys.executable, "-S", "-c", _WATCH], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
            )

    @property
    def active(self) -> bool:
        """True while the process is watching."""
        return self._watch is not None

    def stop(self) -> None:
        """End the watching process. Call it after everything else has ended."""
        if self._watch is not None:
            self._watch.kill()
            self._watch.wait()
