"""A response, whole or streamed, as in OpenAI's Responses API."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from modules.api.openai_format import FINISH_REASONS, OpenAIAnswer, end_notes
from modules.api.openai_stream import reply_deltas
from modules.api.responses.items import item_messages
from modules.api.responses.output import OutputItems
from modules.api.responses.request import ResponseRequest
from modules.api.responses.store import ResponseStore, StoredResponse
from modules.api.token_logprobs import TokenLogprobs
from modules.generation.generation import Generation
from modules.ui.sse import sse_event

# Fields of the request that a response repeats, with what they are without one.
_REPEATED: dict[str, object] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": None,
    "truncation": "auto",
}


class ResponseAnswer:
    """One response while it is written. It is kept in `stored` at its end, if the client wants that."""

    def __init__(
        self, asked: ResponseRequest, answer: OpenAIAnswer, generation: Generation, stored: ResponseStore
    ) -> None:
        self.id = f"resp_{uuid.uuid4().hex}"
        self._asked, self._answer, self._generation, self._stored = asked, answer, generation, stored
        self._output = OutputItems()

    def whole(self) -> dict[str, Any]:
        """Return the response of a generation that ended without an error."""
        parts = self._answer.parts()
        assert parts is not None
        for delta in [*parts.feed(self._generation.final_text), *parts.flush()]:
            for _ in self._output.feed(delta):
                continue
        for _ in self._output.close(self._status()):
            continue
        return self._finish()

    async def events(self) -> AsyncIterator[bytes]:
        """Yield the events of a stream."""
        number = 0

        def event(kind: str, **fields: object) -> bytes:
            nonlocal number
            number += 1
            return sse_event({"type": kind, "sequence_number": number - 1, **fields}, kind)

        yield event("response.created", response=self._head("in_progress"))
        yield event("response.in_progress", response=self._head("in_progress"))
        async with aclosing(reply_deltas(self._answer.parts(), self._generation)) as deltas:  # type: ignore[type-var]
            async for delta in deltas:
                for kind, fields in self._output.feed(delta):
                    yield event(kind, **fields)
        if (error := self._generation.error) is not None:
            failed = {**self._head("failed"), "error": {"code": "server_error", "message": error.message}}
            yield event("response.failed", response=failed)
            return
        for kind, fields in self._output.close(self._status()):
            yield event(kind, **fields)
        response = self._finish()
        yield event(f"response.{response['status']}", response=response)

    def _status(self) -> str:
        finished = self._generation.finished
        assert finished is not None
        return "incomplete" if FINISH_REASONS[finished.reason] == "length" else "completed"

    def _head(self, status: str) -> dict[str, Any]:
        body = self._asked.body
        repeated = {name: body[name] if body.get(name) is not None else value for name, value in _REPEATED.items()}
        hooks = self._answer.hooks.notes if self._answer.hooks else ()
        warnings = [*self._answer.options.warnings, *hooks]
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._answer.created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "model": self._answer.model,
            "output": self._output.items,
            "store": self._asked.store,
            **repeated,
            "usage": None,
            **({"warnings": warnings} if warnings else {}),
        }

    def _finish(self) -> dict[str, Any]:
        """Return the complete response, and keep it."""
        self._add_logprobs()
        status = self._status()
        response = {**self._head(status), "usage": self._usage()}
        if notes := end_notes(self._generation):
            response["warnings"] = [*response.get("warnings", ()), *notes]
        if status == "incomplete":
            response["incomplete_details"] = {"reason": "max_output_tokens"}
        if self._asked.store:
            messages = [*self._asked.messages, *item_messages(self._output.items)]
            self._stored.add(self.id, StoredResponse(messages, response, self._asked.owner))
        return response

    def _add_logprobs(self) -> None:
        """Add the log-probabilities of all tokens to the message, if they were asked for."""
        message = next((item for item in self._output.items if item["type"] == "message"), None)
        if message is not None and self._answer.options.logprobs >= 0:
            found = TokenLogprobs(is_chat=True).format(self._generation.logprobs)
            message["content"][0]["logprobs"] = found["content"]

    def _usage(self) -> dict[str, object]:
        finished = self._generation.finished
        assert finished is not None
        return {
            "input_tokens": finished.prompt_tokens,
            "input_tokens_details": {"cached_tokens": finished.cached_tokens},
            "output_tokens": finished.generated_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": finished.prompt_tokens + finished.generated_tokens,
        }
