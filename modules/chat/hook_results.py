"""What the hooks of extensions made of a reply: its meta, and its text when it has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modules.chat.parts import with_measures
from modules.chat.reply import Reply
from modules.chat.turn_hooks import TurnHooks
from modules.generation.generation import Generation
from modules.plugins.failures import MessageFailed


def note_hooks(meta: dict[str, Any], turn: TurnHooks) -> None:
    """Add what extensions changed and their notes to a reply's meta, after the notes that are there."""
    of_hooks = turn.meta()
    notes = list(dict.fromkeys([*meta.pop("notes", ()), *of_hooks.pop("notes", ())]))
    meta.update(of_hooks)
    if notes:
        meta["notes"] = notes


def finish_with_hooks(
    turn: TurnHooks, generation: Generation, before: str, prefix: str, hidden: bool, notes: list[str]
) -> Callable[[Reply], None]:
    """Return the function that runs the hooks on the whole reply and stores the result in it.

    `before`: text before the generation's as prompts hold it; `prefix`: the same as it is shown; `hidden`: the prompt
    ends with text that is not shown; `notes`: those of the prompt.
    """

    def finish(reply: Reply) -> None:
        if generation.error is not None and not generation.text:
            return
        written = before + generation.final_text
        if hidden:
            # Drop the space between the hidden text and the reply.
            written = written.lstrip(" ")
        meta: dict[str, Any] = {"notes": notes}
        try:
            final = turn.final_text(written)
        except MessageFailed as error:
            final = written
            meta |= {"error": error.message, "detail": error.detail, "code": error.code, "lower": []}
        note_hooks(meta, turn)
        if final != written:
            meta["internal"] = written
        reply.meta = {**reply.meta, **meta}
        if final != prefix + generation.text:
            reply.final = with_measures(reply.reader.split(final), reply.round_parts)

    return finish
