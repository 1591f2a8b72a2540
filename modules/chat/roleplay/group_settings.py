"""A group chat's settings: who takes part, and in which order they speak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modules.chat.roleplay.lore_values import texts

LIST, ROUND, RANDOM, NATURAL, MANUAL = "list", "round", "random", "natural", "manual"
ORDERS = (NATURAL, LIST, ROUND, RANDOM, MANUAL)
MOST_MEMBERS = 30


@dataclass(frozen=True)
class Group:
    """The characters of a chat by their file names. `muted`: those that do not speak of themselves.

    `order`: list (each in turn after every message), round (one after another, one for each message), random, natural
    (those that the message names, else a random one), or manual (only when they are asked).
    """

    members: tuple[str, ...]
    order: str = NATURAL
    muted: tuple[str, ...] = ()


def read_group(value: object) -> Group | None:
    """Return the group that a chat's settings have, or None."""
    if not isinstance(value, Mapping):
        return None
    members = tuple(dict.fromkeys(texts(value.get("members"))))[:MOST_MEMBERS]
    order = value.get("order")
    return Group(members, order if order in ORDERS else NATURAL, texts(value.get("muted"))) if members else None
