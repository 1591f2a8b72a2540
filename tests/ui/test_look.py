"""Colours of the page: every theme, and every choice of a person, can be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modules.protocol.errors import PaddockError
from modules.ui.look import DEFAULT, LEAST_CONTRAST, THEMES, colours, contrast, look
from modules.ui.theme import paddock_theme

TOKENS = Path(__file__).parents[2] / "modules" / "ui" / "static" / "tokens.css"
GROUNDS = ("--ground", "--surface", "--field", "--hover", "--bubble", "--wash", "--code")


def _tokens() -> list[dict[str, str]]:
    """Return the variables of tokens.css, for light and for dark."""
    blocks = re.findall(r"^(?::root|\.dark) \{(.*?)^\}", TOKENS.read_text(encoding="utf-8"), re.M | re.S)
    return [dict(re.findall(r"(--[\w-]+): (#[0-9a-f]{6});", block)) for block in blocks]


def _weak(variables: dict[str, str]) -> list[tuple[str, str, float]]:
    """Return the pairs of text and ground that cannot be read well."""
    pairs = [(text, ground) for text in ("--ink", "--soft", "--accent") for ground in GROUNDS]
    pairs += [("--on-accent", "--accent"), ("--on-accent", "--accent-strong")]
    if "--warn" in variables:
        pairs += [("--warn", "--warn-wash"), ("--ink", "--warn-wash")]
    found = [(one, other, round(contrast(variables[one], variables[other]), 2)) for one, other in pairs]
    return [each for each in found if each[2] < LEAST_CONTRAST]


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_the_colours_of_the_page_can_be_read(mode: int) -> None:
    assert _weak(_tokens()[mode]) == []


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("name", THEMES)
def test_each_theme_can_be_read(name: str, mode: int) -> None:
    assert _weak(colours(THEMES[name].accent[mode], THEMES[name].background[mode])) == []


@pytest.mark.parametrize("background", ["#ffffff", "#f6f4ee", "#ffe0e0", "#c0ffee", "#000000", "#101080", "#3a3a3a"])
@pytest.mark.parametrize("accent", ["#ffff00", "#777777", "#ff0000", "#000000", "#ffffff", "#0000ff"])
def test_whatever_a_person_chooses_can_be_read(accent: str, background: str) -> None:
    assert _weak(colours(accent, background)) == []


def test_a_theme_defines_the_colours_of_the_page() -> None:
    made = colours(*(pair[0] for pair in (THEMES[DEFAULT].accent, THEMES[DEFAULT].background)))
    assert set(made) <= set(_tokens()[0])


def test_nothing_chosen_leaves_the_colours_of_the_sheet() -> None:
    assert look({}) == {"both": {"--text-size": "16px", "--column": "760px", "--round": "12px"}}


def test_an_own_background_is_for_light_or_for_dark() -> None:
    made = look({"background": "#fff8e0", "accent": "884400", "text_size": "large", "corners": "<b>"})
    assert made["light"]["--ground"] == "#fff8e0"
    assert made["dark"]["--ground"] == THEMES[DEFAULT].background[1]
    assert (made["both"]["--text-size"], made["both"]["--round"]) == ("18px", "12px")


@pytest.mark.parametrize("text", ["red", "#12", "url(x)", "#1234567", "var(--x)"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(PaddockError, match="is no colour"):
        look({"accent": text})


def test_what_is_chosen_in_forms_has_the_accent_of_the_page() -> None:
    css = str(paddock_theme()._get_theme_css())  # type: ignore[no-untyped-call]
    fixed = set(re.findall(r"--([\w-]+): var\(--(?:primary|secondary)-\d+\)", css))
    # The sheets of the page replace the first two, and nothing has the last.
    assert fixed <= {"button-primary-border-color", "button-primary-border-color-hover", "stat-background-fill"}
