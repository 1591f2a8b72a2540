"""What "lower these and retry" means after memory ran out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.schema import build, describe

_LEAST_CONTEXT = 512


def lower_settings(
    spec: LoaderSpec, settings: Mapping[str, Any], names: Iterable[str], context: int = 0
) -> dict[str, Any]:
    """`settings` with the named ones lowered: numbers halved down to their minimum, choices moved one on (schemas list
    them from most to least memory). `context`: what "the model's own length" (0) stands for, in tokens."""
    result = dict(settings)
    current = build(spec.settings, settings)
    for entry in describe(spec.settings):
        if entry.name not in tuple(names):
            continue
        value = getattr(current, entry.name)
        if entry.info.choices:
            place = entry.info.choices.index(value)
            result[entry.name] = entry.info.choices[min(place + 1, len(entry.info.choices) - 1)]
        elif entry.kind in (int, float):
            number = value or (context if "context" in entry.name else 0)
            if not number or number < 0:
                continue
            least = entry.info.minimum if entry.info.minimum else (_LEAST_CONTEXT if "context" in entry.name else 0)
            result[entry.name] = entry.kind(max(least, number // 2))
    return result
