"""The parts of a message: its text, the reasoning before it, calls of tools with their results, and attached files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modules.chat.attachments.attachment_name import attachment_name
from modules.families.reasoning import find_markers

TEXT, REASONING, IMAGE, AUDIO, DOCUMENT = "text", "reasoning", "image", "audio", "document"
TOOL_CALL, TOOL_RESULT = "tool_call", "tool_result"
KINDS = (TEXT, REASONING, IMAGE, AUDIO, DOCUMENT, TOOL_CALL, TOOL_RESULT)
# Parts that models get as files, and all that are files: their content is in the AttachmentStore.
MEDIA = (IMAGE, AUDIO)
FILES = (*MEDIA, DOCUMENT)
_HASH = re.compile(r"[0-9a-f]{64}")
# Names of meta that are texts, and that are numbers.
_TEXTS = ("before", "after", "hash", "mime", "id", "name", "state")
_NUMBERS = ("seconds", "tokens", "size", "estimated")
# Larger numbers are no counts and no durations.
_MOST = 1e12


@dataclass(frozen=True)
class Part:
    """A part of a message. `kind`: one of KINDS; `text`: exactly as it was written, of a file its name.

    `meta` of reasoning: before, after (the markers around it with the white space beside them, "" where one is
    missing); seconds and tokens that it took, where they were measured. Of a file: hash, mime, size (bytes), and of a
    document tokens, with estimated where no model had counted them; of a sound its seconds. Of a tool call, whose
    text is the arguments as a JSON object: id, name. Of a result: the id and name of its call, state (see
    chat/tool_calls.py), seconds.
    """

    kind: str
    text: str
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def raw(self) -> str:
        """Return the part as the model wrote it, with its markers; "" for a file.

        Calls and results of tools are in one common notation.
        """
        if self.kind in FILES:
            return ""
        if self.kind == TOOL_CALL:
            name = json.dumps(str(self.meta.get("name", "")), ensure_ascii=False)
            return f'<tool_call>\n{{"name": {name}, "arguments": {self.text}}}\n</tool_call>\n'
        if self.kind == TOOL_RESULT:
            return f"<tool_response>\n{self.text}\n</tool_response>\n"
        return f"{self.meta.get('before', '')}{self.text}{self.meta.get('after', '')}"

    @property
    def closed(self) -> bool:
        """Return True if the model ended this reasoning."""
        return bool(self.meta.get("after"))


def plain(text: str) -> tuple[Part, ...]:
    """Return the parts of a message that is all text."""
    return (Part(TEXT, text),)


def as_parts(content: str | Sequence[Part]) -> tuple[Part, ...]:
    """Return parts, made from a text where it is one."""
    return plain(content) if isinstance(content, str) else tuple(content)


def visible_text(parts: Iterable[Part]) -> str:
    """Return the text of a message without its reasoning. If it called tools: the text after the last of them."""
    return "".join(part.text for part in after_tools(tuple(parts)) if part.kind == TEXT)


def after_tools(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return the parts after the last call or result of a tool: all parts where there is none."""
    return tuple(parts[_tools_end(parts) :])


def _tools_end(parts: Sequence[Part]) -> int:
    ends = (place + 1 for place, part in enumerate(parts) if part.kind in (TOOL_CALL, TOOL_RESULT))
    return max(ends, default=0)


def reasoning_text(parts: Iterable[Part]) -> str:
    """Return the reasoning of a message, or ""."""
    return "\n\n".join(part.text.strip() for part in parts if part.kind == REASONING).strip()


def file_parts(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return the files among the parts."""
    return tuple(part for part in parts if part.kind in FILES)


def raw_text(parts: Iterable[Part]) -> str:
    """Return a message as the model wrote it, with reasoning and markers."""
    return "".join(part.raw for part in parts)


def with_text(parts: Sequence[Part], text: str) -> tuple[Part, ...]:
    """Return the parts with another text. Files stay, and the reasoning, which is ended where it was cut off.

    What is before the last call of a tool stays too.
    """
    end = _tools_end(parts)
    kept = [
        part if part.closed or part.kind != REASONING else _ended(part) for part in parts[end:] if part.kind != TEXT
    ]
    return (*parts[:end], *kept, Part(TEXT, text))


def with_measures(parts: Sequence[Part], measured: Sequence[Part]) -> tuple[Part, ...]:
    """Return the parts with the seconds and tokens of the reasoning in `measured`, which has as many."""
    thoughts = [part for part in measured if part.kind == REASONING]
    if len(thoughts) != sum(part.kind == REASONING for part in parts):
        return tuple(parts)
    facts = iter(thoughts)
    return tuple(
        replace(part, meta={**next(facts).meta, **part.meta}) if part.kind == REASONING else part for part in parts
    )


def _ended(part: Part) -> Part:
    start = str(part.meta.get("before", "")).strip()
    pair = next((pair for pair in find_markers(start) if pair.start == start), None)
    return replace(part, meta={**part.meta, "after": f"\n{pair.end}{pair.answer}\n\n"}) if pair else part


def to_json(parts: Iterable[Part]) -> list[dict[str, object]]:
    """Return parts as values for JSON."""
    return [
        {"kind": part.kind, "text": part.text, **({"meta": dict(part.meta)} if part.meta else {})} for part in parts
    ]


def from_json(values: object) -> tuple[Part, ...]:
    """Return parts from values of `to_json`. Raises ValueError where they are none."""
    if not isinstance(values, list):
        raise ValueError("its parts are no list")
    parts: list[Part] = []
    for value in values:
        if not isinstance(value, Mapping) or value.get("kind") not in KINDS or not isinstance(value.get("text"), str):
            raise ValueError("it has a part without a kind or a text")
        meta = value.get("meta")
        part = Part(str(value["kind"]), str(value["text"]), _known(meta) if isinstance(meta, Mapping) else {})
        if part.kind in FILES:
            if not _HASH.fullmatch(str(part.meta.get("hash"))):
                raise ValueError("it has a file without a hash")
            part = replace(part, text=attachment_name(part.text))
        if part.kind in (TOOL_CALL, TOOL_RESULT) and not _is_whole(part):
            raise ValueError("it has a call of a tool without an id, a name or arguments")
        parts.append(part)
    return tuple(parts)


def _is_whole(part: Part) -> bool:
    """Return True if a prompt can hold this call of a tool, or result."""
    try:
        is_object = part.kind == TOOL_RESULT or isinstance(json.loads(part.text), dict)
    except (ValueError, RecursionError):
        return False
    return is_object and bool(part.meta.get("id")) and bool(part.meta.get("name"))


def _known(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a part's meta, where it has the right type."""
    texts = {name: meta[name] for name in _TEXTS if isinstance(meta.get(name), str)}
    numbers = {name: meta[name] for name in _NUMBERS if isinstance(meta.get(name), (int, float))}
    return {**texts, **{name: value for name, value in numbers.items() if abs(value) < _MOST}}


def rows_of(parts: Iterable[Part]) -> list[tuple[int, str, str, str]]:
    """Return (place, kind, text, meta as JSON) of each part, for the database."""
    return [(place, part.kind, part.text, json.dumps(part.meta)) for place, part in enumerate(parts)]
