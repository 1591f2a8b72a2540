"""Read the KEY=VALUE texts of `--set`."""

from __future__ import annotations

from collections.abc import Iterable

from modules.protocol.errors import SettingError


def read_pairs(pairs: Iterable[str], example: str) -> list[tuple[str, str]]:
    """Return (key, value) of each KEY=VALUE text. Raises SettingError, which shows `example`, such as "bits=4"."""
    found = []
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise SettingError(f"--set takes KEY=VALUE, not {pair!r}. Write for example --set {example}.")
        found.append((key, value))
    return found
