"""The form of an answer: OpenAI's `response_format`, vLLM's `guided_` fields and llama.cpp's `json_schema`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modules.protocol.errors import SettingError, Unsupported
from modules.protocol.json_schema import normalize_schema
from modules.protocol.loader_spec import LoaderSpec

_ANY_OBJECT = {"type": "object"}
_MOST_CHOICES = 1_000
_FORMS = (
    '\'response_format\' must be {"type": "text"}, {"type": "json_object"} or '
    '{"type": "json_schema", "json_schema": {"schema": …}}.'
)
# The fields that this module reads.
FORMAT_FIELDS = frozenset({"response_format", "guided_json", "guided_choice", "json_schema", "structured_outputs"})
CUT_SHORT = (
    "The reply was cut at its maximum length, so it is not complete and does not follow the JSON schema. "
    "Raise max_tokens, or describe a shorter answer."
)


@dataclass(frozen=True)
class ResponseFormat:
    """`values`: parameters of SamplingParams that force the format. `warnings`: sentences about what is not forced."""

    values: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def read_response_format(body: Mapping[str, object], spec: LoaderSpec) -> ResponseFormat:
    """Return the format that a request asks for. Raises SettingError, PromptError, or Unsupported."""
    asked = [found for found in (_of_field(name, body.get(name)) for name in sorted(FORMAT_FIELDS)) if found]
    if not asked:
        return ResponseFormat()
    if len(asked) > 1:
        raise SettingError("The answer can have one format. Send one of 'response_format', 'guided_json' and the like.")
    name, value, strict = asked[0]
    if name == "choice":
        forced = ResponseFormat({"grammar_string": _choice_grammar(value)})
    else:
        forced = force_schema(value, strict)
    if missing := forced.values.keys() - spec.samplers:
        words = "a JSON schema" if "json_schema" in missing else "a list of choices"
        raise Unsupported(f"{spec.title} cannot follow {words} with this model. Load the model with another loader.")
    return forced


def force_schema(schema: object, strict: bool) -> ResponseFormat:
    """Return the format of a JSON schema. `strict`: a keyword that is not enforced is an error. Raises PromptError."""
    normal, unknown = normalize_schema(schema)
    names = ", ".join(repr(name) for name in unknown)
    if unknown and strict:
        raise SettingError(
            f"The JSON schema has keywords that are not enforced here: {names}. Remove them, or leave out 'strict'."
        )
    warnings = (f"These keywords of the JSON schema are not enforced: {names}.",) if unknown else ()
    try:
        text = json.dumps(normal, ensure_ascii=False, allow_nan=False)
    except ValueError:  # A schema that came as a text may hold them; other bodies were refused before.
        raise SettingError(
            "The JSON schema has a number that JSON does not have, such as NaN or 1e999. Send another number."
        ) from None
    return ResponseFormat({"json_schema": text}, warnings)


def _of_field(name: str, value: object) -> tuple[str, object, bool] | None:
    """Return (kind, value, strict) of one field of the request, or None where it asks for nothing."""
    if value is None or value == "" or (value == {} and name in ("response_format", "structured_outputs")):
        return None
    if name == "guided_choice":
        return "choice", value, False
    if name == "structured_outputs":
        return _structured(value)
    if name == "response_format":
        return _of_type(value)
    if isinstance(value, str):
        value = _parse(name, value)
    # llama.cpp takes the schema itself, and some clients send OpenAI's wrapping here.
    if name == "json_schema" and isinstance(value, dict) and isinstance(value.get("schema"), dict):
        return _wrapped(value)
    return "json", value, False


def _of_type(value: Any) -> tuple[str, object, bool] | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "text":
        return None
    if kind == "json_object":
        return "json", value.get("schema") or _ANY_OBJECT, False
    if kind == "json_schema":
        return _wrapped(value.get("json_schema"))
    raise SettingError(_FORMS)


def _wrapped(value: object) -> tuple[str, object, bool]:
    if not isinstance(value, dict) or "schema" not in value:
        raise SettingError(f"{_FORMS} 'json_schema' has no 'schema'.")
    strict = value.get("strict") or False
    if not isinstance(strict, bool):
        raise SettingError("'strict' must be true or false, without quotes.")
    return "json", value["schema"], strict


def _structured(value: object) -> tuple[str, object, bool]:
    """Return what vLLM's field `structured_outputs` asks for."""
    given = (
        {key: entry for key, entry in value.items() if entry not in (None, False)} if isinstance(value, dict) else {}
    )
    if len(given) == 1:
        key, entry = next(iter(given.items()))
        if key == "json":
            return "json", _parse("json", entry) if isinstance(entry, str) else entry, False
        if key == "json_object":
            return "json", _ANY_OBJECT, False
        if key == "choice":
            return "choice", entry, False
    raise Unsupported(
        "'structured_outputs' takes one of json, json_object and choice here. For a grammar, send GBNF in "
        "'grammar_string'. Leave 'structured_outputs' out of the request otherwise."
    )


def _parse(name: str, text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{name!r} is not JSON: {str(error).rstrip('.')}. Send a JSON schema.") from None


def _choice_grammar(value: object) -> str:
    """Return the GBNF grammar of a list of texts."""
    texts = value if isinstance(value, list) else []
    if not texts or len(texts) > _MOST_CHOICES or not all(isinstance(text, str) and text for text in texts):
        raise SettingError(f"A list of choices must have 1 to {_MOST_CHOICES:,} texts that are not empty.")
    return f"root ::= {' | '.join(_literal(text) for text in texts)}"


def _literal(text: str) -> str:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{quoted}"'.replace("\t", "\\t")
