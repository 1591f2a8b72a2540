"""Macros: what each stands for, that values are data, and that nothing grows without end."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest

from modules.chat.roleplay.macros import Macros

NOW = datetime(2026, 3, 1, 15, 4, 5, tzinfo=timezone.utc)
VALUES = {"user": "Kim", "char": "Ada", "description": "{{char}} counts.", "model": "m {{user}}"}


def expand(text: str, seed: str = "s") -> str:
    return Macros(VALUES, seed, NOW).expand(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{user}} {{CHAR}} <USER> <bot>", "Kim Ada Kim Ada"),
        ("{{description}}", "Ada counts."),
        ("a{{newline}}b{{noop}}{{// x {{user}} }}c", "a\nbc"),
        ("x {{// a comment }}y{{comment: z}}{{hidden_key:k}}", "x y"),
        ("a \n {{trim}} \n b", "ab"),
        ("{{date}}|{{time}}|{{weekday}}|{{isodate}}|{{isotime}}", "March 1, 2026|3:04 PM|Sunday|2026-03-01|15:04"),
        ("{{time_UTC+2}} {{datetimeformat DD.MM.YYYY HH:mm [at] dddd}}", "5:04 PM 01.03.2026 15:04 at Sunday"),
        ("{{reverse:abc}} {{random:x}} {{pick::y::y}} {{roll:1}} {{roll:d1}} {{roll 3d1+2}}", "cba x y 1 1 5"),
        ("{{random:a\\,b}}", "a,b"),
        ("{{setvar::x::{{user}}}}{{getvar::x}}{{addvar::n::2}}{{addvar::n::3}}{{getvar::n}}", "Kim5"),
        ("{{{user}}} {{x {{user}}", "{Kim} {{x Kim"),
        ("{{random::{{user}}::{{user}}}}", "Kim"),
        ("a{{newline::2}}b{{space::3}}c", "a\n\nb   c"),
        ("{{setvar::gold::1234567}}{{addvar::gold::0.5}}{{incvar::gold}}", "1234568.5"),
    ],
)
def test_what_macros_stand_for(text: str, expected: str) -> None:
    assert expand(text) == expected


@pytest.mark.parametrize(
    "text",
    ["{{unknown}}", "{{ }}", "{{}}", "{{.x}}", "{{roll:0}}", "{{roll:abc}}", "{ {x} }", "}}"]
    + ["{{newline::²}}", f"{{{{space::{'9' * 5000}}}}}"],
)
def test_what_is_no_macro_stays(text: str) -> None:
    assert expand(text) == text


def test_a_macro_in_a_value_is_data() -> None:
    assert expand("{{model}}") == "m {{user}}"
    assert Macros({"user": "{{char}}<BOT>", "char": "A"}).expand("{{user}}") == "{{char}}<BOT>"


def test_random_values_stay_the_same_for_a_seed_and_differ_between_seeds() -> None:
    text = "{{random:a,b,c,d,e,f,g,h}}{{roll:d1000}}{{pick::1::2::3::4}}"
    assert expand(text) == expand(text)
    assert len({expand(text, str(seed)) for seed in range(20)}) > 10
    assert len({expand("{{roll:d6}}", str(seed)) for seed in range(200)}) == 6


def test_fields_that_name_themselves_or_each_other_end() -> None:
    values = {"description": "{{personality}}{{personality}} x" * 50, "personality": "{{description}}{{scenario}}" * 50}
    grown = Macros(values | {"scenario": "{{description}}" * 50}).expand("{{description}}" * 50)
    assert len(grown) < 500_000


def test_long_texts_with_braces_are_quick() -> None:
    for text in ("{{" * 50_000, "{{ {" * 50_000, "{{random:" + "a," * 50_000, "}}" * 50_000 + "{{x"):
        assert isinstance(expand(text), str)
