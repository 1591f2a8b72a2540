"""The parts of a message for the page: rendered once when it is settled, or as they grow.

A call of a tool and its result are one part here. Both are plain text, which the page never reads as markup.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modules.chat.parts import AUDIO, FILES, REASONING, TOOL_CALL, TOOL_RESULT, Part
from modules.library.sizes import format_size
from modules.ui.attachment_routes import document_label
from modules.ui.markdown import LivingMarkdown, Markdown
from modules.ui.number_format import clock, plural, seconds

# (state, where the tool comes from) of a call without a result, by the call's id.
CallStates = Mapping[str, "tuple[str, str]"]
_THINKING = "Thinking"
_THOUGHTS = "Thoughts"
_THOUGHT_FOR = "Thought for {0}"


def settled_parts(parts: Sequence[Part], markdown: Markdown) -> list[dict[str, Any]]:
    """Return {"kind", "html"} of each part with text, and the "label" of reasoning. A call has "call" for "html".

    Of a file: {"kind", "name", "hash", "label"}, where the name is plain text.
    """
    files = any(part.kind in FILES for part in parts)
    drawn = (part for part in parts if part.kind != TOOL_RESULT)
    shown = (part for part in drawn if part.text.strip() or (part.kind != REASONING and not files))
    return [
        _file(part)
        if part.kind in FILES
        else {"kind": part.kind, "call": _call(part, parts, {}, "stopped")}
        if part.kind == TOOL_CALL
        else {"kind": part.kind, "html": markdown.render(part.text), **_label(part, False)}
        for part in shown
    ]


def _file(part: Part) -> dict[str, str]:
    size = int(part.meta.get("size") or 0)
    label = format_size(size)
    if part.kind == AUDIO:
        label = f"{label} · {clock(float(part.meta.get('seconds') or 0))}"
    if "tokens" in part.meta:
        label = document_label(size, part.meta["tokens"], bool(part.meta.get("estimated")))
    return {"kind": part.kind, "name": part.text, "hash": str(part.meta["hash"]), "label": label}


def _call(part: Part, parts: Sequence[Part], states: CallStates, other: str) -> dict[str, object]:
    """Return a call of a tool with its result, if it has one: texts, none of them markup.

    "state": one of tool_calls.py and tool_run.py, or `other` for a call that has none.
    """
    id = str(part.meta.get("id", ""))
    result = next((one for one in parts if one.kind == TOOL_RESULT and one.meta.get("id") == id), None)
    state, source = states.get(id, (other, ""))
    shown = {"id": id, "name": str(part.meta.get("name", "")), "arguments": _lines(part.text), "source": source}
    if result is None:
        return {**shown, "state": state}
    took = result.meta.get("seconds")
    time = _duration(took) if isinstance(took, (int, float)) and took >= 0.1 else ""
    return {**shown, "state": str(result.meta.get("state") or "ok"), "result": result.text, "time": time}


def _lines(arguments: str) -> list[list[str]]:
    """Return [name, value] of each argument as text."""
    try:
        values = json.loads(arguments)
    except (ValueError, RecursionError):
        return [["", arguments]]
    if not isinstance(values, dict):
        return [["", arguments]]
    return [
        [name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)]
        for name, value in values.items()
    ]


def _label(part: Part, growing: bool) -> dict[str, str]:
    """Return the label of a part of reasoning: how long it took, and how many tokens."""
    if part.kind != REASONING:
        return {}
    facts = [_THINKING if growing else _THOUGHTS]
    if "seconds" in part.meta:
        tokens = int(part.meta.get("tokens") or 0)
        took = _duration(part.meta["seconds"])
        # Other programs, whose chats are imported, count no tokens of it.
        length = [plural(tokens, "token")] if tokens else []
        facts = [*([_THINKING, took] if growing else [_THOUGHT_FOR.format(took)]), *length]
    return {"label": " · ".join(facts)}


def _duration(value: float) -> str:
    return f"{value:.1f} s" if value < 10 else seconds(value)


@dataclass
class _View:
    kind: str
    text: LivingMarkdown
    shown: dict[str, str] = field(default_factory=dict)


class LivingParts:
    """Renders the parts of a growing message: those that are done once, and the last one with each growth."""

    def __init__(self, markdown: Markdown, states: CallStates | None = None) -> None:
        self._markdown = markdown
        self._states = states or {}
        self._views: list[_View] = []

    def is_quick(self, parts: Sequence[Part]) -> bool:
        """Return True if `update` takes less than a millisecond."""
        parts = [part for part in parts if part.kind != TOOL_RESULT]
        return all(self._view(place).is_quick(part.text) for place, part in self._fresh(parts))

    def update(self, parts: Sequence[Part]) -> list[dict[str, object]]:
        """Return what changed since the last call: of each part, its place from 0 and LivingMarkdown.update.

        "new": the kind of a part that begins; the parts from its place on are gone. "label", where it changed, and
        "done", once it has ended, are of reasoning. A call of a tool is whole at once, as "call"; when its state
        changes, the reply is drawn again.
        """
        changes: list[dict[str, object]] = []
        for place, part in self._fresh([part for part in parts if part.kind != TOOL_RESULT]):
            new = place >= len(self._views) or self._views[place].kind != part.kind
            if new:
                self._views[place:] = [_View(part.kind, LivingMarkdown(self._markdown))]
            view = self._views[place]
            if part.kind == TOOL_CALL:
                if new:
                    changes.append(
                        {"place": place, "new": part.kind, "call": _call(part, parts, self._states, "waits")}
                    )
                continue
            ended = part.kind == REASONING and part.closed
            facts: dict[str, Any] = {"done": True} if ended else {}
            label = _label(part, not ended)
            if label != view.shown:
                view.shown = label
                facts |= label
            begun = {"new": part.kind} if new else {}
            changes.append({"place": place, **begun, **facts, **view.text.update(part.text)})
        return changes

    def _fresh(self, parts: Sequence[Part]) -> list[tuple[int, Part]]:
        """Return the parts that may have changed, with their places: the last one that was sent, and later ones."""
        same = (
            place for place, view in enumerate(self._views) if place >= len(parts) or view.kind != parts[place].kind
        )
        first = next(same, max(0, len(self._views) - 1))
        return list(enumerate(parts))[first:]

    def _view(self, place: int) -> LivingMarkdown:
        return self._views[place].text if place < len(self._views) else LivingMarkdown(self._markdown)
