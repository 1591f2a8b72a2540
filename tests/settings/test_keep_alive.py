"""How long a model is kept, as people and programs write it."""

from __future__ import annotations

import pytest

from modules.protocol.errors import SettingError
from modules.settings.keep_alive import parse_keep_alive


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (0, 0.0),
        (90, 90.0),
        (1.5, 1.5),
        ("300", 300.0),
        ("5m", 300.0),
        ("1h30m", 5400.0),
        (" 250MS ", 0.25),
        ("0", 0.0),
        (-1, None),
        ("-1", None),
        ("-1m", None),
        ("never", None),
    ],
)
def test_times_are_seconds_or_texts(value: object, seconds: float | None) -> None:
    assert parse_keep_alive(value) == seconds


@pytest.mark.parametrize("value", ["", "soon", "5 m", "m", "5x", True, [], {}, float("nan")])
def test_other_values_are_named(value: object) -> None:
    with pytest.raises(SettingError, match="cannot be kept for"):
        parse_keep_alive(value)
