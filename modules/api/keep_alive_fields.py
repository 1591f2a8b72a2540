"""The fields of a request that say for how long its model stays loaded without use."""

from __future__ import annotations

from collections.abc import Mapping

from modules.runtime.pool_model import PoolModel
from modules.settings.keep_alive import parse_keep_alive

# By LM Studio's and Ollama's names.
KEEP_ALIVE_FIELDS = ("ttl", "keep_alive")


def read_keep_alive(body: Mapping[str, object]) -> tuple[float | None, ...]:
    """Return the seconds (None for ever) that a request chooses, as one value; () if it chooses none. Raises
    SettingError."""
    return tuple(parse_keep_alive(body[name]) for name in KEEP_ALIVE_FIELDS if body.get(name) is not None)[:1]


def apply_keep_alive(model: PoolModel, chosen: tuple[float | None, ...]) -> None:
    """Keep the model for as long as `chosen`, from `read_keep_alive`, says."""
    for seconds in chosen:
        model.keep_alive = seconds
