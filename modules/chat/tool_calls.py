"""The calls of tools in one round of a reply: each asks for the user's approval unless it was allowed before, then
runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modules.chat.parts import TOOL_CALL, TOOL_RESULT, Part
from modules.plugins.tools.tool import Tool
from modules.plugins.tools.tool_choices import ToolChoices
from modules.plugins.tools.tool_run import FAILED, REFUSED, STOPPED, ToolResult, run_tool
from modules.protocol.errors import PaddockError
from modules.system.threads import host_thread

# What a user may answer when a call asks.
ONCE, IN_CHAT, ALWAYS, REFUSE = "once", "chat", "always", "refuse"
ANSWERS = (ONCE, IN_CHAT, ALWAYS, REFUSE)
# States of a call without a result.
ASKS, RUNS = "asks", "runs"
# More calls at once than this are not run: a model that repeats itself would fill the page.
MOST_AT_ONCE = 16

NOT_ALLOWED = "The user did not allow this call. Do not repeat it; answer without it, or ask the user."
NOT_RUN = "This call was interrupted and did not run."


@dataclass(eq=False)
class _Call:
    part: Part
    tool: Tool | None
    state: str = ASKS
    answered: threading.Event = field(default_factory=threading.Event)
    allowed: bool = False
    result: ToolResult | None = None

    @property
    def id(self) -> str:
        return str(self.part.meta.get("id", ""))


class ToolCalls:
    """The calls of one round. `changed()` is called when one of them asks, runs or ends. Thread-safe."""

    def __init__(
        self,
        chat_id: str,
        calls: Sequence[Part],
        tools: Mapping[str, Tool],
        choices: ToolChoices,
        changed: Callable[[], None],
    ) -> None:
        self._chat_id, self._choices, self._changed = chat_id, choices, changed
        self._lock = threading.Lock()
        self._calls = [_Call(part, tools.get(str(part.meta.get("name", "")))) for part in calls]
        self._known = sorted(tools)

    def run(self, stopped: threading.Event) -> None:
        """Ask and run all calls, at the same time. Return when each has a result."""
        threads = []
        for place, call in enumerate(self._calls):
            if call.tool is None:
                name = str(call.part.meta.get("name", ""))[:100]
                known = ", ".join(self._known) or "none"
                call.result = ToolResult(f"There is no tool named {name!r}. The tools are: {known}.", FAILED)
            elif place >= MOST_AT_ONCE:
                text = f"More than {MOST_AT_ONCE} calls at once are not run. Make fewer calls."
                call.result = ToolResult(text, FAILED)
            else:
                if self._choices.allows(self._chat_id, call.tool.key):
                    self._allow(call)
                threads.append(host_thread(f"call-{call.id}", self._runner(call, stopped), "Running a tool"))
        self._changed()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _runner(self, call: _Call, stopped: threading.Event) -> Callable[[], None]:
        def run() -> None:
            assert call.tool is not None
            result = ToolResult("The reply was stopped before this call ran.", STOPPED)
            try:
                while not call.answered.wait(0.1) and not stopped.is_set():
                    continue
                if call.answered.is_set() and not call.allowed:
                    result = ToolResult(NOT_ALLOWED, REFUSED)
                elif call.answered.is_set() and not stopped.is_set():
                    result = run_tool(call.tool, call.part.text, stopped)
            finally:
                call.result = result
                self._changed()

        return run

    def answer(self, call_id: str, answer: str) -> None:
        """Let the user's answer apply to a call that asks, and to others of the same tool. Raises PaddockError."""
        if answer not in ANSWERS:
            raise PaddockError(
                f"A call cannot be answered with {answer[:40]!r}. The answers are: {', '.join(ANSWERS)}."
            )
        call = next((one for one in self._calls if one.id == call_id and one.tool), None)
        if call is None or call.tool is None or call.answered.is_set():
            raise PaddockError("This call does not wait for an answer any more.")
        key = call.tool.key
        if answer in (IN_CHAT, ALWAYS):
            self._choices.allow(self._chat_id, key, always=answer == ALWAYS)
        same = [one for one in self._calls if answer in (IN_CHAT, ALWAYS) and one.tool and one.tool.key == key]
        for one in (call, *same):
            if answer == REFUSE:
                one.answered.set()
            elif one.result is None:
                self._allow(one)
        self._changed()

    @staticmethod
    def _allow(call: _Call) -> None:
        if not call.answered.is_set():
            call.allowed, call.state = True, RUNS
            call.answered.set()

    def states(self) -> dict[str, tuple[str, str]]:
        """Return (state, where the tool comes from) of each call without a result, by its id."""
        return {call.id: (call.state, call.tool.source) for call in self._calls if call.tool and call.result is None}

    def results(self) -> tuple[Part, ...]:
        """Return the results so far, in the order of the calls."""
        return tuple(_result(call.part, call.result) for call in self._calls if call.result is not None)


def _result(call: Part, result: ToolResult) -> Part:
    meta = {"id": call.meta.get("id", ""), "name": call.meta.get("name", ""), "state": result.state}
    return Part(TOOL_RESULT, result.text, {**meta, "seconds": round(result.seconds, 2)})


def calls_of(parts: Sequence[Part]) -> list[Part]:
    """Return the calls of a round, without those that have a result."""
    answered = {part.meta.get("id") for part in parts if part.kind == TOOL_RESULT}
    return [part for part in parts if part.kind == TOOL_CALL and part.meta.get("id") not in answered]


def fixed_results(calls: Sequence[Part], text: str, state: str = FAILED) -> tuple[Part, ...]:
    """Return the same result for calls that are not run."""
    return tuple(_result(call, ToolResult(text, state)) for call in calls)
