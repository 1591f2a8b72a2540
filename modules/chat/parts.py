"""The parts of a message: its text, and the reasoning that a model wrote before it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modules.families.reasoning import find_markers

TEXT, REASONING = "text", "reasoning"
KINDS = (TEXT, REASONING)


@dataclass(frozen=True)
class Part:
    """A part of a message. `kind`: one of KINDS; `text`: exactly as it was written.

    `meta` of reasoning: before, after (the markers around it with the white space beside them, "" where one is
    missing); seconds and tokens that it took, where they were measured.
    """

    kind: str
    text: str
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def raw(self) -> str:
        """Return the part as the model wrote it, with its markers."""
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
    """Return the text of a message without its reasoning."""
    return "".join(part.text for part in parts if part.kind == TEXT)


def reasoning_text(parts: Iterable[Part]) -> str:
    """Return the reasoning of a message, or ""."""
    return "\n\n".join(part.text.strip() for part in parts if part.kind == REASONING).strip()


def raw_text(parts: Iterable[Part]) -> str:
    """Return a message as the model wrote it, with reasoning and markers."""
    return "".join(part.raw for part in parts)


def with_text(parts: Sequence[Part], text: str) -> tuple[Part, ...]:
    """Return the parts with another text. The reasoning stays, and is ended where it was cut off."""
    thoughts = [part if part.closed else _ended(part) for part in parts if part.kind == REASONING]
    return (*thoughts, Part(TEXT, text))


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


def to_json(parts: Iterable[Part]) -> list[dict[str, Any]]:
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
        parts.append(Part(str(value["kind"]), str(value["text"]), _known(meta) if isinstance(meta, Mapping) else {}))
    return tuple(parts)


def _known(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a part's meta, where it has the right type."""
    texts = {name: meta[name] for name in ("before", "after") if isinstance(meta.get(name), str)}
    numbers = {name: meta[name] for name in ("seconds", "tokens") if isinstance(meta.get(name), (int, float))}
    return {**texts, **numbers}


def rows_of(parts: Iterable[Part]) -> list[tuple[int, str, str, str]]:
    """Return (place, kind, text, meta as JSON) of each part, for the database."""
    return [(place, part.kind, part.text, json.dumps(part.meta)) for place, part in enumerate(parts)]
