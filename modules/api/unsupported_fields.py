"""Parts of a request that would change what the client gets and that this server cannot do: each is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modules.protocol.errors import Unsupported


def _given(value: Any) -> bool:
    return value is not None and value is not False and value not in ([], {}, "")


def _more_than_one(value: Any) -> bool:
    return value is not None and (isinstance(value, bool) or value != 1)


def _formatted(value: Any) -> bool:
    return _given(value) and not (isinstance(value, dict) and value.get("type") == "text")


def _speaks(value: Any) -> bool:
    return _given(value) and value != ["text"]


def _chosen(value: Any) -> bool:
    return _given(value) and value not in ("none", "auto")


def _positive(value: Any) -> bool:
    return _given(value) and value != 0


# Name -> (whether a value asks for it, what the server does not offer).
_PARTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "response_format": (_formatted, "answers in a given format (use a GBNF grammar in 'grammar_string')"),
    "text": (_formatted, "answers in a given format"),
    "format": (_formatted, "answers in a given format"),
    "json_schema": (_given, "answers that follow a JSON schema"),
    "structured_outputs": (_given, "answers in a given format"),
    "guided_json": (_given, "answers that follow a JSON schema"),
    "guided_regex": (_given, "answers that follow a pattern"),
    "guided_choice": (_given, "answers out of given ones"),
    "guided_grammar": (_given, "this kind of grammar (use GBNF in 'grammar_string')"),
    "tools": (_given, "tools"),
    "tool_choice": (_chosen, "tools"),
    "functions": (_given, "functions"),
    "function_call": (_chosen, "functions"),
    "web_search_options": (lambda value: value is not None and value is not False, "searches in the web"),
    "logprobs": (lambda value: value is not None and value is not False, "token probabilities"),
    "top_logprobs": (_positive, "token probabilities"),
    "prompt_logprobs": (lambda value: value is not None and value is not False, "token probabilities"),
    "n_probs": (_positive, "token probabilities"),
    "n": (_more_than_one, "more than one choice a request"),
    "best_of": (_more_than_one, "more than one choice a request"),
    "num_return_sequences": (_more_than_one, "more than one choice a request"),
    "use_beam_search": (_given, "beam search"),
    "num_beams": (_more_than_one, "beam search"),
    "audio": (_given, "sound"),
    "modalities": (_speaks, "answers that are no text"),
    "suffix": (_given, "text that goes between two others"),
    "prompt_embeds": (_given, "prompts that are no text"),
    "images": (_given, "pictures"),
    "image_data": (_given, "pictures"),
    "conversation": (_given, "chats that it keeps for clients"),
    "previous_response_id": (_given, "chats that it keeps for clients"),
    "background": (_given, "answers in the background"),
}
UNSUPPORTED = frozenset(_PARTS)


def refuse_unsupported(body: Mapping[str, Any]) -> None:
    """Raise Unsupported, naming the first part that asks for what there is not."""
    for name, (asks, words) in _PARTS.items():
        if asks(body.get(name)):
            raise Unsupported(f"This server does not offer {words} yet. Leave {name!r} out of the request.")
