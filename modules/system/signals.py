"""SIGTERM (Docker, systemd) and SIGHUP (a closed terminal) shut Paddock down as Ctrl+C does."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """The process was asked to end. `status`: the exit status by the shell's convention."""

    status = 128 + signal.SIGTERM


@contextmanager
def handle_termination() -> Iterator[None]:
    """While the block runs, raise Terminated in the main thread at the first SIGTERM or SIGHUP.

    An ignored SIGHUP stays ignored (nohup). Outside the main thread, which alone can set handlers, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> None:
        # A second signal must not interrupt the shutdown that the first one began.
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise Terminated

    def pass_on(number: int, frame: object) -> None:
        # A running server has its own SIGTERM handler, which closes its streams first.
        signal.raise_signal(signal.SIGTERM)

    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, end)}
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, pass_on)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
