"""Runs extensions' code on threads that can be abandoned: a call that hangs costs its time budget and nothing more."""

from __future__ import annotations

import contextlib
import contextvars
import ctypes
import sys
import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType


class HookTimeout(Exception):
    """A call exceeded its time budget, and its thread was abandoned. `outside`: it waited for a process or machine."""

    def __init__(self, message: str, outside: bool = False) -> None:
        super().__init__(message)
        self.outside = outside


class CallAbandoned(BaseException):
    """Raised inside an abandoned thread, so that a loop of Python code ends."""


class Call:
    """One function call on a hook thread. `value` or `error` is set when it has ended."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function
        self.context = contextvars.copy_context()
        self.value: object = None
        self.error: BaseException | None = None
        self.started = 0.0
        self._ended = threading.Lock()
        self._ended.acquire()

    def run(self) -> None:
        """Run the function. Called on the hook thread."""
        self.started = time.monotonic()
        try:
            self.value = self.context.run(self.function)
        except BaseException as error:
            # An extension's sys.exit or KeyboardInterrupt must not end Paddock.
            self.error = error
        self._ended.release()

    def wait(self, seconds: float) -> bool:
        """Wait for the end of the call. Return False if it has not ended within `seconds`."""
        return self._ended.acquire(timeout=max(0.0, seconds))


class HookThread:
    """A daemon thread that runs one call at a time. Threads that an extension starts from it are daemons too."""

    def __init__(self, number: int) -> None:
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._run, name=f"extensions-{number}", daemon=True)
        self.thread.start()

    def put(self, call: Call | None) -> None:
        """Run a call. None ends the thread."""
        self._calls.put(call)

    def frame(self) -> FrameType | None:
        """Return the frame that the thread's code is in now."""
        return sys._current_frames().get(self.thread.ident or 0)

    def abandon(self) -> None:
        """End its Python code at the next bytecode step. A call into C runs until it returns."""
        if self.thread.ident is not None:
            thread, error = ctypes.c_ulong(self.thread.ident), ctypes.py_object(CallAbandoned)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)
        self._calls.put(None)

    def _run(self) -> None:
        # CallAbandoned may arrive just after the call that it was meant for.
        with contextlib.suppress(CallAbandoned):
            while (call := self._calls.get()) is not None:
                call.run()


class HookThreads:
    """A pool of hook threads. `abandoned`: the number of calls that exceeded their time budget."""

    def __init__(self) -> None:
        self._idle: list[HookThread] = []
        self._lock = threading.Lock()
        self._number = 0
        self.abandoned = 0

    def start(self, function: Callable[[], object]) -> tuple[Call, HookThread]:
        """Start a call on an idle thread, or on a new one."""
        with self._lock:
            thread = self._idle.pop() if self._idle else None
            if thread is None:
                self._number += 1
                thread = HookThread(self._number)
        call = Call(function)
        thread.put(call)
        return call, thread

    def release(self, thread: HookThread) -> None:
        """Put a thread whose call has ended back into the pool."""
        with self._lock:
            self._idle.append(thread)

    def abandon(self, thread: HookThread) -> None:
        """Drop a thread whose call exceeded its time budget."""
        self.abandoned += 1
        thread.abandon()

    def close(self) -> None:
        """End the idle threads."""
        with self._lock:
            idle, self._idle[:] = list(self._idle), []
        for thread in idle:
            thread.put(None)
