"""One schema, many faces: what it accepts, refuses and describes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from modules.protocol.errors import SettingError
from modules.protocol.sampling import SamplingParams, active_samplers
from modules.protocol.sampling_texts import parse_banned_tokens, parse_logit_biases
from modules.protocol.schema import build, changed_values, describe, setting


@dataclass(frozen=True)
class Example:
    """One of each type."""

    context: int = setting(4096, label="Context length", minimum=256, maximum=8192, unit="tokens")
    scale: float | None = setting(None, label="RoPE scale", minimum=0)
    cache: str = setting("f16", label="Cache type", choices=("f16", "q8_0"))
    flash: bool = setting(True, label="Flash attention")
    stops: list[str] = setting([], label="Stops")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("context", "512", 512),
        ("context", 512.0, 512),
        ("scale", "0.5", 0.5),
        ("scale", "none", None),
        ("scale", "", None),
        ("flash", "off", False),
        ("flash", "True", True),
        ("cache", "q8_0", "q8_0"),
        ("stops", "one", ["one"]),
        ("stops", ["a", "b"], ["a", "b"]),
    ],
)
def test_a_good_value_takes_the_settings_type(name: str, value: Any, expected: Any) -> None:
    assert getattr(build(Example, {name: value}), name) == expected


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("context", 255, "a whole number from 256 to 8192 (tokens)"),
        ("context", 8193, "a whole number from 256 to 8192 (tokens)"),
        ("context", 1.5, "a whole number"),
        ("context", None, "a whole number"),
        ("context", True, "a whole number"),
        ("context", 10**400, "a whole number"),
        ("scale", "nan", "or none"),
        ("scale", 10**400, "or none"),
        ("scale", -1, "a number of 0 or more, or none"),
        ("cache", "q9", "f16, q8_0"),
        ("flash", "maybe", "true or false"),
        ("stops", [1], "a list of texts"),
    ],
)
def test_a_bad_value_is_refused_with_what_is_allowed(name: str, value: Any, allowed: str) -> None:
    with pytest.raises(SettingError) as caught:
        build(Example, {name: value})
    assert allowed in caught.value.message
    assert name in caught.value.message


def test_an_unknown_name_lists_the_names_there_are() -> None:
    with pytest.raises(SettingError, match="context, scale, cache, flash, stops"):
        build(Example, {"contxt": 1})


def test_changed_holds_only_what_differs() -> None:
    assert changed_values(build(Example, {"context": 512, "flash": True})) == {"context": 512}


def test_list_defaults_are_not_shared() -> None:
    Example().stops.append("x")
    assert Example().stops == []


def test_every_sampling_parameter_has_a_label_and_a_neutral_default_within_its_range() -> None:
    for entry in describe(SamplingParams):
        assert entry.info.label
        build(SamplingParams, {entry.name: entry.default})


def test_neutral_parameters_ask_nothing_of_a_loader() -> None:
    assert active_samplers(SamplingParams()) == frozenset()
    assert active_samplers(SamplingParams(mirostat_tau=3.0, dry_base=2.0, seed=5, max_new_tokens=9)) == frozenset()
    assert active_samplers(SamplingParams(xtc_probability=0.5, xtc_threshold=0.2)) == {
        "xtc_probability",
        "xtc_threshold",
    }


def test_token_lists_are_read_from_text() -> None:
    assert parse_banned_tokens(SamplingParams(custom_token_bans="13, 29\n4,")) == [13, 29, 4]
    assert parse_logit_biases(SamplingParams(logit_bias="13:-2.5, 29:1")) == {13: -2.5, 29: 1.0}
