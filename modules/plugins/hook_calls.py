"""Calls one hook of all extensions in order, each within its time budget. A failure ends one extension only."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from modules.plugins.console import Console, Output
from modules.plugins.extension_host import Host
from modules.plugins.extension_status import Fault
from modules.plugins.failures import MessageFailed, waits_outside
from modules.plugins.hook_signatures import HookImpl
from modules.plugins.hook_threads import CallAbandoned, HookThread, HookThreads, HookTimeout

# Seconds that one extension may take for a hook, unless its manifest sets a limit.
SECONDS = 20.0
SLOW = {"setup": 60.0, "ui": 60.0, "custom_generate_reply": 300.0, "api_routes": 60.0, "tools": 60.0, "teardown": 5.0}

# accept(arguments, result): store a hook's result in the arguments of the next extension's hook. Returns True to stop
# calling further extensions. Raises TypeError, as a sentence, for a result that the hook may not return.
Accept = Callable[[dict[str, Any], Any], "bool | None"]


@dataclass
class HookedExtension:
    """A running extension, as far as hook calls need it.

    `seconds`: the time budget of each hook; 0: the default. `shows_prefix`: the page shows the text that its
    `bot_prefix_modifier` adds. `last_failure`: the last failure that did not switch it off.
    """

    name: str
    title: str
    host: Host
    settings: Any = None
    seconds: float = 0.0
    impls: dict[str, HookImpl] = field(default_factory=dict)
    output: Output = field(default_factory=Output)
    shows_prefix: bool = True
    last_failure: Fault | None = None

    def limit(self, hook: str) -> float:
        """Return the seconds that a hook of this extension may take."""
        return self.seconds or SLOW.get(hook, SECONDS)


@dataclass
class _Progress:
    """The position in a sequence of extensions. `since`: when the current extension's hook started."""

    at: int
    since: float
    abandoned: bool = False


class BudgetClock:
    """Says whether an extension's time budget is running, in a call that alternates between extension and host.

    For one event loop: only its thread may start or stop the clock.
    """

    def __init__(self) -> None:
        self.running = True
        self.changed = asyncio.Event()

    def start(self) -> None:
        """Count seconds: the extension is working."""
        self.running = True
        self.changed.set()

    def stop(self) -> None:
        """Count no seconds: the host is working."""
        self.running = False
        self.changed.set()


# on_failure(extension, hook, error): handles a failure. Returns the error that fails the message if the extension stays
# on; None if the extension is off now.
OnFailure = Callable[[HookedExtension, str, BaseException], "MessageFailed | None"]
# on_step(extension, hook, arguments): called after each extension.
OnStep = Callable[[HookedExtension, str, dict[str, Any]], None]


class HookCaller:
    """Calls the hooks of the running extensions in order.

    `on_failure` may be called from another thread. `on_recovered()`: a hook whose failure is shown on its extension's
    card works again.
    """

    def __init__(
        self, threads: HookThreads, console: Console, on_failure: OnFailure, on_recovered: Callable[[], None]
    ) -> None:
        self._threads = threads
        self._console = console
        self._on_failure = on_failure
        self._on_recovered = on_recovered
        self._steps: dict[str, tuple[tuple[HookedExtension, HookImpl], ...]] = {}

    def set(self, extensions: list[HookedExtension]) -> None:
        """Call the hooks of these extensions, in this order, from now on."""
        steps: dict[str, list[tuple[HookedExtension, HookImpl]]] = {}
        for extension in extensions:
            for hook, impl in extension.impls.items():
                steps.setdefault(hook, []).append((extension, impl))
        self._steps = {hook: tuple(pairs) for hook, pairs in steps.items()}

    def has(self, *hooks: str) -> bool:
        """Return True if any extension has one of these hooks."""
        return any(hook in self._steps for hook in hooks)

    def extensions_with(self, hook: str) -> list[HookedExtension]:
        """Return the extensions that have this hook, in order."""
        return [extension for extension, _ in self._steps.get(hook, ())]

    def run(
        self, hook: str, arguments: dict[str, object], accept: Accept, on_step: OnStep | None = None
    ) -> dict[str, Any]:
        """Call the hook of every extension in order, and return the arguments after the last.

        `arguments`: by name; `accept` changes them after each call. `on_step` sees them after each. Raises
        MessageFailed.
        """
        steps = self._steps.get(hook, ())
        at = 0
        # The interval between checks: an extension with a short time budget may follow one with a long budget.
        tick = min((extension.limit(hook) for extension, _ in steps), default=0.0)
        while at < len(steps):
            progress = _Progress(at, time.monotonic())
            work = partial(self._run_steps, hook, steps, progress, arguments, accept, on_step)
            call, thread = self._threads.start(work)
            while not call.wait(min(tick, progress.since + steps[progress.at][0].limit(hook) - time.monotonic())):
                extension = steps[progress.at][0]
                if time.monotonic() - progress.since < extension.limit(hook):
                    continue
                progress.abandoned = True
                self._time_out(extension, hook, thread)
                at = progress.at + 1
                arguments = dict(arguments)
                break
            else:
                self._threads.release(thread)
                if call.error is not None:
                    raise call.error
                return arguments
        return arguments

    def call(
        self, extension: HookedExtension, hook: str, *, run: Callable[[], object] | None = None, **arguments: object
    ) -> tuple[bool, Any]:
        """Call one hook of one extension, or `run` instead of it.

        Return (True, result), or (False, None) after a failure or if there is no such hook. Raises MessageFailed.
        """
        if run is None and hook not in extension.impls:
            return False, None
        work = run or partial(extension.impls[hook], settings=extension.settings, host=extension.host, **arguments)
        call, thread = self._threads.start(partial(self._capture, extension, work))
        if not call.wait(extension.limit(hook)):
            self._time_out(extension, hook, thread)
            return False, None
        self._threads.release(thread)
        if call.error is not None:
            self._fail(extension, hook, call.error)
            return False, None
        self._recover(extension, hook)
        return True, call.value

    def try_call(self, extension: HookedExtension, hook: str) -> tuple[bool, Any]:
        """Call one hook if no message depends on it. Return (False, None) also if a service did not answer."""
        try:
            return self.call(extension, hook)
        except MessageFailed:
            return False, None

    async def call_async(
        self, extension: HookedExtension, hook: str, run: Callable[[], object], clock: BudgetClock
    ) -> bool:
        """Call `run` on a hook thread, while it exchanges work with this event loop. Return True if it did not fail.

        `clock` says when the extension's time budget is running.
        """
        loop = asyncio.get_running_loop()
        ended = False

        def end() -> None:
            nonlocal ended
            ended = True
            clock.changed.set()

        def work() -> None:
            try:
                self._capture(extension, run)
            finally:
                # The loop may be closed by now.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(end)

        limit = extension.limit(hook)
        call, thread = self._threads.start(work)
        try:
            while not ended:
                clock.changed.clear()
                await asyncio.wait_for(clock.changed.wait(), limit if clock.running else None)
        except asyncio.TimeoutError:
            self._threads.abandon(thread)
            self._on_failure(extension, hook, HookTimeout(f"took longer than {limit:g} seconds"))
            return False
        except asyncio.CancelledError:
            self._threads.abandon(thread)
            raise
        # `end` runs just before the call itself ends.
        call.wait(limit)
        self._threads.release(thread)
        if call.error is not None:
            self._on_failure(extension, hook, call.error)
        return call.error is None

    def _time_out(self, extension: HookedExtension, hook: str, thread: HookThread) -> None:
        outside = waits_outside(thread.frame())
        self._threads.abandon(thread)
        self._fail(extension, hook, HookTimeout(f"took longer than {extension.limit(hook):g} seconds", outside))

    def _recover(self, extension: HookedExtension, hook: str) -> None:
        if extension.last_failure is not None and extension.last_failure.hook == hook:
            extension.last_failure = None
            self._on_recovered()

    def _fail(self, extension: HookedExtension, hook: str, error: BaseException) -> None:
        if failure := self._on_failure(extension, hook, error):
            raise failure

    def _capture(self, extension: HookedExtension, function: Callable[[], object]) -> Any:
        """Call a function, and store what it prints for the extension."""
        before = self._console.redirect(extension.output)
        try:
            return function()
        finally:
            self._console.redirect(before)

    def _run_steps(
        self,
        hook: str,
        steps: tuple[tuple[HookedExtension, HookImpl], ...],
        progress: _Progress,
        arguments: dict[str, object],
        accept: Accept,
        on_step: OnStep | None,
    ) -> None:
        redirect = self._console.redirect
        for at in range(progress.at, len(steps)):
            extension, impl = steps[at]
            progress.since, progress.at = time.monotonic(), at
            before = redirect(extension.output)
            try:
                result = impl(settings=extension.settings, host=extension.host, **arguments)
                if progress.abandoned:
                    return
                last = accept(arguments, result)
            except CallAbandoned:
                raise
            except BaseException as error:
                if progress.abandoned:
                    return
                # Paddock's own log lines about it are not the extension's output.
                redirect(before)
                self._fail(extension, hook, error)
                continue
            finally:
                redirect(before)
            self._recover(extension, hook)
            if on_step is not None:
                on_step(extension, hook, arguments)
            if last:
                return
