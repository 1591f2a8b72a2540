"""Finds the weights of a Transformers model in files with other names. Standard library only.

Transformers looks for model.safetensors or model.safetensors.index.json, else for pytorch_model.bin or its index.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.safetensors", re.IGNORECASE)


def find_other_weights(names: Iterable[str]) -> list[str]:
    """Return the safetensors files with weights under other names; [] if the usual names exist, or no weights.

    Of several sets of files, such as shards beside a whole file, return the largest set of shards, else all whole files
    except `consolidated...`, which is the same model with other tensor names.
    """
    there = set(names)
    if WHOLE in there or INDEX in there:
        return []
    files = sorted(
        name for name in there if name.lower().endswith(".safetensors") and not name.lower().startswith("adapter_")
    )
    sets: dict[tuple[str, str], list[str]] = {}
    for name in files:
        if match := _SHARD.fullmatch(name):
            sets.setdefault((match["stem"], match["count"]), []).append(name)
    # Shards with Transformers' tensor names are found by number, also without their index.
    if sets:
        plain = {key: shards for key, shards in sets.items() if not key[0].lower().startswith("consolidated")}
        return max((plain or sets).values(), key=len)
    return [name for name in files if not name.lower().startswith("consolidated")] or files
