"""Detects an engine that does not stop a cancelled reply, and a grammar for which it finds no next token."""

from __future__ import annotations

from collections.abc import Callable

from modules.generation.generation import Generation
from modules.protocol.errors import PromptError
from modules.system.threads import host_thread

# How long an engine may take to stop a reply. Before the first token it gets longer, to finish a slice of the prompt.
CANCEL_SECONDS = 10.0
_LONGEST_CANCEL_SECONDS = 60.0
# How long the next token of a reply with a grammar may take. The first token may take longer.
GRAMMAR_SECONDS = 30.0
# Characters of a prompt that a slow machine processes in a second.
_PREFILL_SPEED = 100.0

GRAMMAR_TOO_SLOW = (
    "The grammar takes too long: no next token was found within {seconds:.0f} seconds. Write it or its JSON schema "
    "with fewer alternatives that match the same text, or leave it out."
)


def cancel_seconds(generation: Generation) -> float:
    """Return how many seconds to wait for a cancelled generation to end."""
    if generation.tokens:
        return CANCEL_SECONDS
    return max(CANCEL_SECONDS, min(_LONGEST_CANCEL_SECONDS, CANCEL_SECONDS + generation.prompt_length / _PREFILL_SPEED))


def watch_cancel(generation: Generation, stuck: Callable[[float], None]) -> None:
    """Call `stuck(seconds)` on a new thread if the cancelled generation does not end in time."""
    seconds = cancel_seconds(generation)

    def watch() -> None:
        if not generation.wait(seconds):
            stuck(seconds)

    host_thread("cancel watch", watch, "Waiting for a reply to stop").start()


def watch_grammar(generation: Generation, slow: Callable[[PromptError], None]) -> None:
    """Call `slow(error)` on a new thread if a token of a reply with a grammar takes too long."""

    def watch() -> None:
        seconds, seen = GRAMMAR_SECONDS + generation.prompt_length / _PREFILL_SPEED, -1
        while not generation.wait(seconds):
            if generation.tokens == max(seen, 0):
                slow(PromptError(GRAMMAR_TOO_SLOW.format(seconds=seconds)))
                return
            seconds, seen = GRAMMAR_SECONDS, generation.tokens

    host_thread("grammar watch", watch, "Waiting for a reply with a grammar").start()
