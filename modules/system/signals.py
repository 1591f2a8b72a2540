"""SIGTERM (Docker, systemd) and SIGHUP (a terminal that was closed) end Paddock in order, as Ctrl+C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """The process was asked to end. `status`: its exit status by the shell's convention."""

    status = 128 + signal.SIGTERM


@contextmanager
def handle_termination() -> Iterator[None]:
    """While the block runs, raise Terminated in the main thread at the first SIGTERM or SIGHUP.

    A SIGHUP that is ignored stays so (nohup). Outside the main thread, which alone may do this, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        # One order is enough: a second one must not break off the end that the first began.
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated

    def pass_on(number: int, frame: object) -> None:
        # A server that runs takes SIGTERM for its own and closes its streams first.
        signal.raise_signal(signal.SIGTERM)

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, end)}
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, pass_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
