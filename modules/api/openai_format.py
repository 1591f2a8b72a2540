"""Answers in the shape of OpenAI's API: whole completions, streamed chunks and usage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modules.api.request_params import RequestOptions
from modules.api.response_format import CUT_SHORT
from modules.api.token_logprobs import TokenLogprobs
from modules.chat.reply_parts import ReplyParts
from modules.chat.turn_hooks import GenerationHooks
from modules.generation.generation import Generation
from modules.protocol.events import Finished

# A Finished event's reason -> the API's finish_reason.
FINISH_REASONS = {"stop": "stop", "stop_text": "stop", "length": "length", "context": "length", "cancelled": "stop"}


@dataclass(frozen=True)
class OpenAIAnswer:
    """What the parts of one answer share. `created`: seconds since the epoch; `echo`: text before the model's own;
    `template`: the model's chat template, which says how it marks reasoning and tool calls; `index`: the choice's place
    among those of its request; `prompt_logprobs`: entries as in events.Chunk for the tokens of `echo`."""

    id: str
    is_chat: bool
    model: str
    created: int
    options: RequestOptions
    hooks: GenerationHooks | None = None
    echo: str = ""
    template: str = ""
    index: int = 0
    prompt_logprobs: tuple[dict[str, object], ...] = ()

    def parts(self) -> ReplyParts | None:
        """Return what splits the reply of a chat into reasoning, content and tool calls; None without a chat."""
        tools = self.options.tools
        if not self.is_chat:
            return None
        return ReplyParts(self.template, tools.schemas, tools.several, self.options.strip, tools.template)

    def chunk(
        self,
        part: dict[str, Any],
        reason: str | None = None,
        first: bool = False,
        logprobs: dict[str, object] | None = None,
    ) -> dict[str, Any]:
        """Return one part of a streamed answer: {"content": text}, or another of ReplyParts. The first part of a chat
        names the role."""
        if self.is_chat:
            delta = {"role": "assistant", **part} if first else part
            choice: dict[str, Any] = {"index": self.index, "delta": delta, "finish_reason": reason}
        else:
            choice = {"index": self.index, "text": part.get("content", ""), "finish_reason": reason, "logprobs": None}
        if logprobs is not None:
            choice["logprobs"] = logprobs
        return {**self._head(".chunk" if self.is_chat else ""), "choices": [choice]}

    def completion(self, generation: Generation) -> dict[str, Any]:
        """Return the whole answer of a generation that ended."""
        assert generation.finished is not None
        choice: dict[str, Any] = {"index": self.index, "logprobs": None}
        if parts := self.parts():
            choice["message"] = parts.message(generation.final_text)
        else:
            choice["text"] = self.echo + generation.final_text
        choice["finish_reason"] = finish_reason(generation.finished, parts)
        if self.options.logprobs >= 0:
            entries = [*self.prompt_logprobs, *generation.logprobs]
            choice["logprobs"] = TokenLogprobs(self.is_chat).format(entries)
        head = self._head("")
        if notes := end_notes(generation):
            head["warnings"] = [*head.get("warnings", ()), *notes]
        return {**head, "choices": [choice], "usage": usage(generation)}

    def usage_chunk(self, generation: Generation) -> dict[str, object]:
        """Return the last part of a stream whose client asked for usage."""
        return {**self._head(".chunk" if self.is_chat else ""), "choices": [], "usage": usage(generation)}

    def _head(self, suffix: str) -> dict[str, Any]:
        kind = f"chat.completion{suffix}" if self.is_chat else "text_completion"
        head: dict[str, Any] = {"id": self.id, "object": kind, "created": self.created, "model": self.model}
        if warnings := [*self.options.warnings, *(self.hooks.notes if self.hooks else ())]:
            head["warnings"] = warnings
        return head


def finish_reason(finished: Finished, parts: ReplyParts | None) -> str:
    """Return the API's reason for the end of a reply with these parts."""
    reason = FINISH_REASONS[finished.reason]
    return "tool_calls" if parts and parts.called and reason == "stop" else reason


def end_notes(generation: Generation) -> list[str]:
    """Return sentences about how a generation ended."""
    assert generation.finished is not None
    cut = generation.params.json_schema and FINISH_REASONS[generation.finished.reason] == "length"
    return [note for note in (generation.empty_reply_note, CUT_SHORT if cut else "") if note]


def usage(generation: Generation) -> dict[str, Any]:
    """Return the token counts of a generation that ended, and the engine's seconds of prefill and decode."""
    finished = generation.finished
    assert finished is not None
    cut = {"cut_tokens": finished.cut_tokens} if finished.cut_tokens else {}
    return {
        "prompt_tokens": finished.prompt_tokens,
        "completion_tokens": finished.generated_tokens,
        "total_tokens": finished.prompt_tokens + finished.generated_tokens,
        "prompt_tokens_details": {"cached_tokens": finished.cached_tokens},
        "completion_tokens_details": {
            "accepted_prediction_tokens": finished.accepted_tokens,
            "rejected_prediction_tokens": finished.drafted_tokens - finished.accepted_tokens,
        },
        **cut,
        "prefill_seconds": round(finished.prefill_seconds, 6),
        "decode_seconds": round(finished.decode_seconds, 6),
    }
