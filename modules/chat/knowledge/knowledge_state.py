"""What the page and the command line show of knowledge."""

from __future__ import annotations

from dataclasses import dataclass

READY, WAITS, READS, EMBEDS, FAILED = "ready", "waits", "reading", "embedding", "failed"


@dataclass(frozen=True)
class KnowledgeState:
    """What is known of one knowledge. `own`: files can be added on the page.

    `phase`: READY, WAITS, READS or EMBEDS with `done` of `total`, or FAILED. `notes`: sentences about what was not
    read, or why. `problems`: (path, sentence) of documents without text. `vectors`: passages that have a vector.
    """

    name: str
    folder: str
    own: bool
    documents: int = 0
    passages: int = 0
    vectors: int = 0
    phase: str = READY
    done: int = 0
    total: int = 0
    notes: tuple[str, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()

    @property
    def busy(self) -> bool:
        """Return True while documents are read, or wait for it."""
        return self.phase in (WAITS, READS, EMBEDS)


@dataclass(frozen=True)
class Progress:
    """How far the reading of one knowledge is."""

    phase: str = READY
    done: int = 0
    total: int = 0
    notes: tuple[str, ...] = ()


def describe_late(name: str, progress: Progress) -> str:
    """Return a sentence that says that documents are still being read."""
    count = f": {progress.done:,} of {progress.total:,} changed documents so far" if progress.total else ""
    return f"{name} is still being read{count}, so its newest documents may be missing."
