"""Leave out the speaker's name that a model writes before its message in a group chat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from modules.chat.parts import TEXT, Part
from modules.chat.parts_reader import PartsReader
from modules.chat.tool_call_parser import ToolCallParser
from modules.families.reasoning import Markers


class NamedReader(PartsReader):
    """A reader that hides the beginning "Name:" of the first text. `names`: those that it may be."""

    def __init__(
        self,
        markers: Sequence[Markers],
        before: Sequence[Part] = (),
        *,
        names: Sequence[str] = (),
        calls: Callable[[], ToolCallParser] | None = None,
    ) -> None:
        super().__init__(markers, before, calls=calls)
        self._names = () if before else tuple(f"{name}:" for name in names)
        self._ended = False

    def finish(self) -> None:
        """Add what was held back, at the end of the reply: what is no name now is text."""
        super().finish()
        self._ended = True

    def parts(self) -> tuple[Part, ...]:
        """Return the parts so far. What may become the name is held back."""
        found = super().parts()
        place = next((place for place, part in enumerate(found) if part.kind == TEXT), None)
        if place is None or not self._names:
            return found
        text = found[place].text
        begun = text.lstrip()
        for name in self._names:
            if begun.startswith(name):
                return (*found[:place], replace(found[place], text=begun[len(name) :].lstrip()), *found[place + 1 :])
            if begun and name.startswith(begun) and not self._ended:
                return (*found[:place], replace(found[place], text=""), *found[place + 1 :])
        return found
