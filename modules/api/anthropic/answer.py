"""Answers in the shape of Anthropic's API: a whole message, its reasons and its usage; and errors."""

from __future__ import annotations

import json
from typing import Any

from modules.api.error_status import http_status
from modules.api.openai_format import OpenAIAnswer, end_notes
from modules.chat.reply_parts import ReplyParts
from modules.generation.generation import Generation
from modules.protocol.errors import PaddockError

# A Finished event's reason -> Anthropic's stop_reason.
_REASONS = {"stop_text": "stop_sequence", "length": "max_tokens", "context": "max_tokens"}
# An HTTP status -> the type of the error.
_ERRORS = {
    400: "invalid_request_error",
    404: "not_found_error",
    409: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
}


def anthropic_error(error: PaddockError) -> dict[str, object]:
    """Return the body of an error."""
    kind = _ERRORS.get(http_status(error), "api_error")
    return {"type": "error", "error": {"type": kind, "message": error.message, "code": error.code}}


def message_head(answer: OpenAIAnswer, generation: Generation) -> dict[str, object]:
    """Return a message without content, as a stream begins with it."""
    prompted = generation.prompted
    return {
        "id": answer.id.replace("chatcmpl-", "msg_", 1),
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": prompted.tokens if prompted else 0, "output_tokens": 0},
    }


def whole_message(answer: OpenAIAnswer, generation: Generation) -> dict[str, Any]:
    """Return the message of a generation that ended."""
    parts = answer.parts()
    assert parts is not None
    found = parts.message(generation.final_text)
    content: list[dict[str, Any]] = []
    if reasoning := found.get("reasoning_content"):
        content.append({"type": "thinking", "thinking": reasoning, "signature": ""})
    if found["content"]:
        content.append({"type": "text", "text": found["content"]})
    for call in found.get("tool_calls", ()):
        function = call["function"]
        given = json.loads(function["arguments"])
        content.append({"type": "tool_use", "id": call["id"], "name": function["name"], "input": given})
    head = message_head(answer, generation)
    warnings = message_warnings(answer, generation)
    more = {"warnings": warnings} if warnings else {}
    return {**head, **more, "content": content, **stop(generation, parts), "usage": message_usage(generation)}


def message_warnings(answer: OpenAIAnswer, generation: Generation) -> list[str]:
    """Return sentences about the request, and about how the generation ended."""
    hooks = answer.hooks.notes if answer.hooks else ()
    return [*answer.options.warnings, *hooks, *end_notes(generation)]


def stop(generation: Generation, parts: ReplyParts) -> dict[str, Any]:
    """Return why a generation ended, and at which of the client's stop texts if that is certain."""
    finished = generation.finished
    assert finished is not None
    reason = _REASONS.get(finished.reason, "tool_use" if parts.called else "end_turn")
    texts = generation.params.stop
    known = reason == "stop_sequence" and len(texts) == 1
    return {"stop_reason": reason, "stop_sequence": texts[0] if known else None}


def message_usage(generation: Generation) -> dict[str, object]:
    """Return the token counts of a generation that ended. As in Anthropic's API, cached ones are counted apart."""
    finished = generation.finished
    assert finished is not None
    return {
        "input_tokens": finished.prompt_tokens - finished.cached_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": finished.cached_tokens,
        "output_tokens": finished.generated_tokens,
    }
