"""Runs extensions' code on threads that can be given up, so that a hang costs its time budget and nothing more."""

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
from typing import Any


class HookTimeout(Exception):
    """A call exceeded its seconds; its thread was given up. `outside`: it waited for another process or machine."""

    def __init__(self, words: str, outside: bool = False) -> None:
        super().__init__(words)
        self.outside = outside


class CallAbandoned(BaseException):
    """Raised inside a thread that was given up, so that a loop of Python code ends."""


class Call:
    """One function on its way through a guard thread. `value` or `error` is set when it is over."""

    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.context = contextvars.copy_context()
        self.value: Any = None
        self.error: BaseException | None = None
        self.begun = 0.0
        self._over = threading.Lock()
        self._over.acquire()

    def run(self) -> None:
        """On the guard thread."""
        self.begun = time.monotonic()
        try:
            self.value = self.context.run(self.function)
        except BaseException as error:
            # sys.exit and KeyboardInterrupt of an extension are its own.
            self.error = error
        self._over.release()

    def wait(self, seconds: float) -> bool:
        """Whether it was over within `seconds`."""
        return self._over.acquire(timeout=max(0.0, seconds))


class HookThread:
    """One thread: takes one call at a time. Daemon, and so are the threads that an extension starts from it."""

    def __init__(self, number: int) -> None:
        self._calls: SimpleQueue[Call | None] = SimpleQueue()
        self.thread = threading.Thread(target=self._run, name=f"extensions-{number}", daemon=True)
        self.thread.start()

    def put(self, call: Call | None) -> None:
        self._calls.put(call)

    def frame(self) -> FrameType | None:
        """Where its code stands now."""
        return sys._current_frames().get(self.thread.ident or 0)

    def give_up(self) -> None:
        """End its Python code at the next step, where there is one; a call into C goes on until it returns."""
        if self.thread.ident is not None:
            thread, error = ctypes.c_ulong(self.thread.ident), ctypes.py_object(CallAbandoned)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)
        self._calls.put(None)

    def _run(self) -> None:
        # CallAbandoned may arrive a moment after the call that it was meant for.
        with contextlib.suppress(CallAbandoned):
            while (call := self._calls.get()) is not None:
                call.run()


class HookThreads:
    """A pool of hook threads. `abandoned`: how many calls exceeded their time budget."""

    def __init__(self) -> None:
        self._idle: list[HookThread] = []
        self._lock = threading.Lock()
        self._number = 0
        self.abandoned = 0

    def begin(self, function: Callable[[], Any]) -> tuple[Call, HookThread]:
        """Start a call on a thread of its own."""
        with self._lock:
            thread = self._idle.pop() if self._idle else None
            if thread is None:
                self._number += 1
                thread = HookThread(self._number)
        call = Call(function)
        thread.put(call)
        return call, thread

    def end(self, thread: HookThread) -> None:
        """Its call is over: the thread may serve again."""
        with self._lock:
            self._idle.append(thread)

    def drop(self, thread: HookThread) -> None:
        """Its call hangs: nobody waits for it any more."""
        self.abandoned += 1
        thread.give_up()

    def close(self) -> None:
        """End the idle threads."""
        with self._lock:
            idle, self._idle[:] = list(self._idle), []
        for thread in idle:
            thread.put(None)
