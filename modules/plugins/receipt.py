"""Records which extension changed which value of a turn, and how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from modules.plugins.hook_calls import HookedExtension, OnStep

_LONGEST = 4000


@dataclass(frozen=True)
class Change:
    """A change of one value by one hook, as text before and after."""

    extension: str
    hook: str
    before: str
    after: str


class Receipt:
    """The changes of one turn. `wanted`: the user wants them recorded."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self.changes: list[Change] = []

    def to_json(self) -> list[dict[str, str]]:
        """Return the changes as a JSON value."""
        return [asdict(change) for change in self.changes]

    def recorder(self, name: str, value: object) -> OnStep | None:
        """Return a function that records changes of the argument `name`, which is `value` now; None if not wanted."""
        if not self._wanted:
            return None
        known = _parts(value)

        def record(extension: HookedExtension, hook: str, arguments: Mapping[str, object]) -> None:
            nonlocal known
            now = _parts(arguments[name])
            # New entries are not recorded: a script's state has more of them than Paddock's.
            changed = [part for part, text in known.items() if now.get(part) != text]
            if changed:
                self.changes.append(Change(extension.name, hook, _lines(known, changed), _lines(now, changed)))
                known = now

        return record


def _parts(value: object) -> dict[str, str]:
    """Return a value as text, entry by entry if it is a dictionary."""
    return {str(key): _text(one) for key, one in value.items()} if isinstance(value, dict) else {"": _text(value)}


def _lines(parts: dict[str, str], wanted: list[str]) -> str:
    return "\n".join(f"{part}: {parts[part]}" if part else parts[part] for part in wanted if part in parts)


def _text(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str, sort_keys=True)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
