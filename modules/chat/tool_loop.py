"""The loop of a reply with tools: the model calls them, they run, and it continues until it answers, up to a limit."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from modules.chat.messages import Message
from modules.chat.parts import TOOL_CALL, Part
from modules.chat.reply import Reply
from modules.chat.reply_request import ReplyRequest, StartedReply
from modules.chat.tool_calls import NOT_RUN, ToolCalls, calls_of, fixed_results
from modules.chat.tool_turns import split_rounds
from modules.plugins.tools.tool_run import STOPPED
from modules.plugins.tools.toolbox import Toolbox
from modules.protocol.errors import PaddockError

# Rounds of calls in one reply. Then the model has to answer with what it has.
MOST_ROUNDS = 12
LIMIT = (
    f"This call did not run, because a reply may call tools {MOST_ROUNDS} times in a row. Answer with what you have."
)
LIMIT_NOTE = f"The model called tools {MOST_ROUNDS} times in a row, so it had to answer without another call."
CUT_NOTE = (
    "The reply was cut at its maximum length before the call of a tool was complete. Raise that length, or "
    "switch off “Begin each reply with a call” in the window of tools."
)
NO_CALL_NOTE = "The model called no tool, although each reply in this chat has to begin with a call."

Start = Callable[[str, ReplyRequest], StartedReply]


class ToolLoop:
    """Begins the next round of a reply when its calls have ended.

    `start` starts a generation; `changed(reply)` is called when a call of it asks, runs or has ended.
    """

    def __init__(self, start: Start, toolbox: Toolbox | None, changed: Callable[[Reply], None]) -> None:
        self._start, self._toolbox, self._changed = start, toolbox, changed

    def with_tools(self, reply: Reply, request: ReplyRequest) -> tuple[ReplyRequest, list[str]]:
        """Return the request with the tools that are on in the chat, and sentences about those that cannot be used.

        A reply that is continued keeps its earlier rounds. If it was cut off before its calls ran, they get a result
        that says so, and the model continues from there.
        """
        tools = tuple(self._toolbox.for_chat(reply.chat_id)) if self._toolbox else ()
        problems = self._toolbox.problems(reply.chat_id) if self._toolbox else []
        must_call = bool(tools) and self._toolbox is not None and self._toolbox.choices.must_call(reply.chat_id)
        request = self._continued(reply, replace(request, tools=tools))
        answers = bool(request.path) and request.path[-1].role == "user"
        return replace(request, must_call=must_call and answers), problems

    @staticmethod
    def _continued(reply: Reply, request: ReplyRequest) -> ReplyRequest:
        reply.path = list(request.path)
        if not request.continues:
            return request
        del reply.path[-1]
        last = request.path[-1]
        parts = (*last.parts, *fixed_results(calls_of(last.parts), NOT_RUN, STOPPED))
        *rounds, open_round = split_rounds(parts)
        if not rounds:
            return request
        reply.earlier = tuple(part for one in rounds for part in one)
        path = [*request.path[:-1], replace(last, parts=parts)]
        # Without a text to continue, the model begins one below the results.
        return replace(request, path=path) if open_round else replace(request, path=path, previous=None)

    def at_end(self, request: ReplyRequest, started: StartedReply) -> Callable[[Reply], bool] | None:
        """Return what to do when this round has ended: as `Reply.on_end`."""
        if not request.tools and started.on_end is None:
            return None

        def end(reply: Reply) -> bool:
            calls = calls_of(reply.round_parts) if request.tools else []
            if not calls:
                if request.must_call and not reply.stopping:
                    _note_missing_call(reply)
                if started.on_end is not None:
                    started.on_end(reply)
                return False
            return self._run(reply, request, calls)

        return end

    def _run(self, reply: Reply, request: ReplyRequest, calls: list[Part]) -> bool:
        """Run the calls of a round and begin the next one. Return False if the reply ends here."""
        generation = reply.generation
        assert self._toolbox is not None and generation is not None
        finished = generation.finished
        if reply.stopping or finished is None or finished.reason == "cancelled":
            reply.final = (*reply.round_parts, *fixed_results(calls, NOT_RUN, STOPPED))
            return False
        rounds = sum(any(part.kind == TOOL_CALL for part in one) for one in split_rounds(reply.parts))
        at_limit = rounds > MOST_ROUNDS
        if at_limit:
            reply.final = (*reply.round_parts, *fixed_results(calls, LIMIT))
            reply.meta["notes"] = [*reply.meta.get("notes", ()), LIMIT_NOTE]
        else:
            tools = {tool.name: tool for tool in request.tools}
            reply.calls = ToolCalls(reply.chat_id, calls, tools, self._toolbox.choices, lambda: self._changed(reply))
            reply.calls.run(reply.stopped)
        if reply.stopping:
            return False
        tools_now = () if at_limit else request.tools
        so_far = Message(reply.message_id, request.parent, "assistant", reply.parts, time.time())
        following = replace(request, path=[*reply.path, so_far], previous=None, tools=tools_now, must_call=False)
        try:
            started = self._start(reply.chat_id, following)
        except PaddockError as error:
            reply.final = reply.round_parts
            reply.meta |= {"error": error.message, "detail": error.detail, "code": error.code, "lower": []}
            return False
        reply.next_round(started.generation, started.reader, started.meta, self.at_end(following, started))
        if reply.stopping:
            started.generation.cancel()
        self._changed(reply)
        return True


def _note_missing_call(reply: Reply) -> None:
    """Say below a reply why the call that was forced is not there."""
    finished = reply.generation.finished if reply.generation else None
    if finished is not None:
        note = CUT_NOTE if finished.reason == "length" else NO_CALL_NOTE
        reply.meta["notes"] = [*reply.meta.get("notes", ()), note]
