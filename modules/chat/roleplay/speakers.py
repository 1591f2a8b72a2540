"""Choose who speaks next in a group chat."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from modules.chat.messages import Message
from modules.chat.roleplay.card_fields import CardFields
from modules.chat.roleplay.group_settings import LIST, MANUAL, NATURAL, ROUND, Group
from modules.chat.roleplay.lore_keys import contains

SPEAKER = "speaker"


def next_speakers(group: Group, path: Sequence[Message], cards: Mapping[str, CardFields], seed: str) -> list[str]:
    """Return the file names of those who answer the end of `path`, in order. `cards`: of the members that exist."""
    able = [name for name in group.members if name in cards and name not in group.muted]
    if not able or group.order == MANUAL:
        return []
    if group.order == LIST:
        return able
    last = next(
        (str(one.meta[SPEAKER]) for one in reversed(path) if one.role == "assistant" and SPEAKER in one.meta), ""
    )
    if group.order == ROUND:
        return [able[(able.index(last) + 1) % len(able)] if last in able else able[0]]
    source = random.Random(seed)
    if group.order == NATURAL and path:
        text = path[-1].text.casefold()
        named = [(place, name) for name in able if (place := _mention(text, cards[name])) >= 0]
        if named:
            return [name for _, name in sorted(named)]
    others = [name for name in able if name != last] or able
    weights = [cards[name].talkativeness if group.order == NATURAL else 1.0 for name in others]
    return [source.choices(others, weights)[0] if sum(weights) > 0 else source.choice(others)]


def _mention(text: str, card: CardFields) -> int:
    """Return where a text names a character: by its whole name, its nickname, or a part of at least three letters."""
    names = [card.name, card.nickname, *(part for part in card.name.split() if len(part) > 2)]
    folded = [name.casefold() for name in names if name.strip()]
    return min((text.find(name) for name in folded if contains(text, name, words=True)), default=-1)
