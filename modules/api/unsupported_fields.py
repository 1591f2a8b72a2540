"""Fields that would change the answer and that this server does not support: each is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from modules.protocol.errors import Unsupported


def _is_set(value: object) -> bool:
    return value is not None and value is not False and value not in ([], {}, "")


def _more_than_one(value: object) -> bool:
    return value is not None and (isinstance(value, bool) or value != 1)


def _is_format(value: object) -> bool:
    return _is_set(value) and not (isinstance(value, dict) and value.get("type") == "text")


def _is_not_text(value: object) -> bool:
    return _is_set(value) and value != ["text"]


def _is_chosen(value: object) -> bool:
    return _is_set(value) and value not in ("none", "auto")


def _is_positive(value: object) -> bool:
    return _is_set(value) and value != 0


# Name -> (whether a value asks for the feature, what the server does not support).
_PARTS: dict[str, tuple[Callable[[object], bool], str]] = {
    "text": (_is_format, "response formats"),
    "format": (_is_format, "response formats"),
    "guided_regex": (_is_set, "answers by a regular expression"),
    "guided_grammar": (_is_set, "this kind of grammar (use GBNF in 'grammar_string')"),
    "functions": (_is_set, "functions (use 'tools')"),
    "function_call": (_is_chosen, "functions (use 'tool_choice')"),
    "web_search_options": (lambda value: value is not None and value is not False, "web search"),
    "prompt_logprobs": (lambda value: value is not None and value is not False, "token probabilities"),
    "n_probs": (_is_positive, "token probabilities"),
    "num_return_sequences": (_more_than_one, "more than one choice per request"),
    "use_beam_search": (_is_set, "beam search"),
    "num_beams": (_more_than_one, "beam search"),
    "audio": (_is_set, "spoken answers"),
    "modalities": (_is_not_text, "answers other than text"),
    "suffix": (_is_set, "text between a prefix and a suffix"),
    "prompt_embeds": (_is_set, "prompts other than text"),
    "images": (_is_set, "images"),
    "image_data": (_is_set, "images"),
    "conversation": (_is_set, "chats stored on the server for clients"),
    "previous_response_id": (_is_set, "chats stored on the server for clients"),
    "background": (_is_set, "answers in the background"),
}
UNSUPPORTED = frozenset(_PARTS)


def refuse_unsupported(body: Mapping[str, object]) -> None:
    """Raise Unsupported for the first field that asks for an unsupported feature."""
    for name, (asks, feature) in _PARTS.items():
        if asks(body.get(name)):
            raise Unsupported(f"This server does not support {feature} yet. Leave {name!r} out of the request.")
