"""Calls one hook of all extensions in order, each within its seconds; a fault ends one extension and nothing else."""

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
from modules.plugins.hook_threads import CallAbandoned, HookThread, HookThreads, HookTimeout
from modules.plugins.pluggy_specs import HookImpl

# Seconds that one extension may take for a hook, where its manifest names none.
SECONDS = 20.0
SLOW = {"setup": 60.0, "ui": 60.0, "custom_generate_reply": 300.0, "api_routes": 60.0, "tools": 60.0, "teardown": 5.0}

# accept(given, result): take the result over into what the next extension is given. True: ask nobody else. Raises
# TypeError, a sentence, for a result that the hook may not have.
Accept = Callable[[dict[str, Any], Any], "bool | None"]


@dataclass
class HookedExtension:
    """A running extension, as the chains need it."""

    name: str
    title: str
    host: Host
    settings: Any = None
    seconds: float = 0.0
    impls: dict[str, HookImpl] = field(default_factory=dict)
    output: Output = field(default_factory=Output)
    # Whether the page shows what its `bot_prefix_modifier` adds.
    shows_prefix: bool = True
    # What failed last without switching it off.
    last_failure: Fault | None = None

    def limit(self, hook: str) -> float:
        """Seconds that this hook of it may take."""
        return self.seconds or SLOW.get(hook, SECONDS)


@dataclass(frozen=True)
class Change:
    """What one extension made of a value. For the receipt of a reply."""

    extension: str
    hook: str
    before: str
    after: str


@dataclass
class _Walk:
    """How far a chain is. `since`: when the present member began."""

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


# on_fault(member, hook, error): it failed. Returns what fails the message where that is all that failed; None where the
# extension is off now.
OnFault = Callable[[HookedExtension, str, BaseException], "MessageFailed | None"]
# changed(member, hook, given before, given after)
OnChange = Callable[[HookedExtension, str, dict[str, Any]], None]


class HookCaller:
    """The hooks of the running members, in order. `on_fault` may be called from another thread. `on_recovered`: a hook
    works again whose trouble its card tells."""

    def __init__(
        self, threads: HookThreads, console: Console, on_fault: OnFault, on_recovered: Callable[[], None]
    ) -> None:
        self._threads = threads
        self._console = console
        self._on_fault = on_fault
        self._on_recovered = on_recovered
        self._steps: dict[str, tuple[tuple[HookedExtension, HookImpl], ...]] = {}

    def set(self, members: list[HookedExtension]) -> None:
        """These members, in this order, from now on."""
        steps: dict[str, list[tuple[HookedExtension, HookImpl]]] = {}
        for member in members:
            for hook, impl in member.impls.items():
                steps.setdefault(hook, []).append((member, impl))
        self._steps = {hook: tuple(pairs) for hook, pairs in steps.items()}

    def has(self, *hooks: str) -> bool:
        """Whether any member has one of these hooks."""
        return any(hook in self._steps for hook in hooks)

    def members(self, hook: str) -> list[HookedExtension]:
        """Those that have this hook, in order."""
        return [member for member, _ in self._steps.get(hook, ())]

    def run(self, hook: str, given: dict[str, Any], accept: Accept, on_step: OnChange | None = None) -> dict[str, Any]:
        """Call the hook of every member, in order. `given`: its arguments by name; `accept` changes them from member
        to member. `on_step` sees them after each. Returns them after the last. Raises MessageFailed."""
        steps = self._steps.get(hook, ())
        at = 0
        # Looked at this often: a member with little time may come after one with much.
        tick = min((member.limit(hook) for member, _ in steps), default=0.0)
        while at < len(steps):
            walk = _Walk(at, time.monotonic())
            call, thread = self._threads.begin(partial(self._walk, hook, steps, walk, given, accept, on_step))
            while not call.wait(min(tick, walk.since + steps[walk.at][0].limit(hook) - time.monotonic())):
                member = steps[walk.at][0]
                if time.monotonic() - walk.since < member.limit(hook):
                    continue
                walk.abandoned = True
                self._hung(member, hook, thread)
                at = walk.at + 1
                given = dict(given)
                break
            else:
                self._threads.end(thread)
                if call.error is not None:
                    raise call.error
                return given
        return given

    def call(
        self, member: HookedExtension, hook: str, *, run: Callable[[], Any] | None = None, **given: Any
    ) -> tuple[bool, Any]:
        """One hook of one member, or `run` in its place: (True, result), or (False, None) after a fault or without
        such a hook. Raises MessageFailed."""
        if run is None and hook not in member.impls:
            return False, None
        work = run or partial(member.impls[hook], settings=member.settings, host=member.host, **given)
        call, thread = self._threads.begin(partial(self._heard, member, work))
        if not call.wait(member.limit(hook)):
            self._hung(member, hook, thread)
            return False, None
        self._threads.end(thread)
        if call.error is not None:
            self._failed(member, hook, call.error)
            return False, None
        self._worked(member, hook)
        return True, call.value

    def try_call(self, member: HookedExtension, hook: str) -> tuple[bool, Any]:
        """The same where no message depends on it: (False, None) also where a service did not answer."""
        try:
            return self.call(member, hook)
        except MessageFailed:
            return False, None

    async def call_async(self, member: HookedExtension, hook: str, run: Callable[[], Any], clock: BudgetClock) -> bool:
        """`run`, whose work goes to and fro between the extension and this event loop, which is not held up: whether
        it ended well. `clock` says when its seconds count."""
        loop = asyncio.get_running_loop()
        over = False

        def end() -> None:
            nonlocal over
            over = True
            clock.changed.set()

        def work() -> None:
            try:
                self._heard(member, run)
            finally:
                # The loop may be closed when it ends.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(end)

        limit = member.limit(hook)
        call, thread = self._threads.begin(work)
        try:
            while not over:
                clock.changed.clear()
                await asyncio.wait_for(clock.changed.wait(), limit if clock.running else None)
        except asyncio.TimeoutError:
            self._threads.drop(thread)
            self._on_fault(member, hook, HookTimeout(f"took longer than {limit:g} seconds"))
            return False
        except asyncio.CancelledError:
            self._threads.drop(thread)
            raise
        # Its last steps.
        call.wait(limit)
        self._threads.end(thread)
        if call.error is not None:
            self._on_fault(member, hook, call.error)
        return call.error is None

    def _hung(self, member: HookedExtension, hook: str, thread: HookThread) -> None:
        outside = waits_outside(thread.frame())
        self._threads.drop(thread)
        self._failed(member, hook, HookTimeout(f"took longer than {member.limit(hook):g} seconds", outside))

    def _worked(self, member: HookedExtension, hook: str) -> None:
        if member.last_failure is not None and member.last_failure.hook == hook:
            member.last_failure = None
            self._on_recovered()

    def _failed(self, member: HookedExtension, hook: str, error: BaseException) -> None:
        if failure := self._on_fault(member, hook, error):
            raise failure

    def _heard(self, member: HookedExtension, function: Callable[[], Any]) -> Any:
        """A function of a member, with what it prints kept for it."""
        before = self._console.put(member.output)
        try:
            return function()
        finally:
            self._console.put(before)

    def _walk(
        self,
        hook: str,
        steps: tuple[tuple[HookedExtension, HookImpl], ...],
        walk: _Walk,
        given: dict[str, Any],
        accept: Accept,
        on_step: OnChange | None,
    ) -> None:
        put = self._console.put
        for at in range(walk.at, len(steps)):
            member, impl = steps[at]
            walk.since, walk.at = time.monotonic(), at
            before = put(member.output)
            try:
                result = impl(settings=member.settings, host=member.host, **given)
                if walk.abandoned:
                    return
                last = accept(given, result)
            except CallAbandoned:
                raise
            except BaseException as error:
                if walk.abandoned:
                    return
                # What Paddock logs of it is no print of the extension.
                put(before)
                self._failed(member, hook, error)
                continue
            finally:
                put(before)
            self._worked(member, hook)
            if on_step is not None:
                on_step(member, hook, given)
            if last:
                return
