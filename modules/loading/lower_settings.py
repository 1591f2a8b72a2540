"""Lowers settings after memory ran out, so that the load or the reply can be tried again."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from modules.protocol.schema import describe

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

S = TypeVar("S", bound="DataclassInstance")
_MIN_CONTEXT = 512


def lower_settings(settings: S, names: Iterable[str], context: int = 0) -> S:
    """Return a copy of a loader's `settings` with the settings in `names` lowered.

    Numbers are halved, down to their minimum. Choices move on by one; schemas list them from most to least memory.
    `context`: the model's own context length in tokens, which a context setting of 0 stands for.
    """
    wanted = set(names)
    changes: dict[str, object] = {}
    for entry in describe(type(settings)):
        if entry.name not in wanted:
            continue
        value = getattr(settings, entry.name)
        is_context = "context" in entry.name
        if entry.info.choices:
            next_index = entry.info.choices.index(value) + 1
            changes[entry.name] = entry.info.choices[min(next_index, len(entry.info.choices) - 1)]
        elif entry.kind in (int, float):
            number = value or (context if is_context else 0)
            if not number or number < 0:
                continue
            minimum = entry.info.minimum or (_MIN_CONTEXT if is_context else 0)
            changes[entry.name] = entry.kind(max(minimum, number // 2))
    return dataclasses.replace(settings, **changes)
