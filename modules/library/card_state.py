"""What a graphics card reports now: who uses its memory, how warm it is, and whether it is slowed down."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from modules.library.sizes import format_size
from modules.protocol.model_facts import Gpu


@dataclass(frozen=True)
class CardProcess:
    """A process that uses a card. `used_bytes`: of the card's memory; 0 if the driver does not say."""

    pid: int
    name: str
    used_bytes: int = 0


@dataclass(frozen=True)
class CardState:
    """A card now. Zero and "" mean unknown. `celsius`: its temperature; `megahertz`, `top_megahertz`: the clock of its
    processors now and at most; `slowed_by`: why the clock is lowered ("heat", "its power limit")."""

    uuid: str
    gpu: Gpu
    processes: tuple[CardProcess, ...] = ()
    celsius: int = 0
    megahertz: int = 0
    top_megahertz: int = 0
    slowed_by: str = ""


def bytes_of(cards: Iterable[CardState], pids: Collection[int]) -> int:
    """Return the bytes of the cards' memory that these processes use."""
    return sum(process.used_bytes for card in cards for process in card.processes if process.pid in pids)


def describe_others(card: CardState, own: Collection[int]) -> str:
    """Return the programs that use the card, without the processes `own`: "ollama (6.1 GB), Xorg"; "" if none does."""
    others = [process for process in card.processes if process.pid not in own]
    largest = sorted(others, key=lambda process: -process.used_bytes)[:5]
    return ", ".join(
        process.name + (f" ({format_size(process.used_bytes)})" if process.used_bytes else "") for process in largest
    )


def describe_health(card: CardState) -> str:
    """Return temperature, clock and what slows the card down: "83 °C, 1,410 of 2,520 MHz, slowed down by heat"."""
    clock = f"{card.megahertz:,}" + (f" of {card.top_megahertz:,}" if card.top_megahertz else "") + " MHz"
    parts = [
        f"{card.celsius} °C" if card.celsius else "",
        clock if card.megahertz else "",
        f"slowed down by {card.slowed_by}" if card.slowed_by else "",
    ]
    return ", ".join(filter(None, parts))
