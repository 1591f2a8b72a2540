"""The look of the page by a few variables: accent, background, size of text, width of the chat, corners.

All other colours are derived from accent and background, so that every choice stays readable: texts have a contrast of
at least 4.5 (WCAG 2.2, 1.4.3).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from modules.protocol.errors import PaddockError

Rgb = tuple[float, float, float]
LEAST_CONTRAST = 4.5
_WHITE, _BLACK = (255.0, 255.0, 255.0), (0.0, 0.0, 0.0)
_HEX = re.compile(r"#?([0-9a-fA-F]{6})")


@dataclass(frozen=True)
class Theme:
    """Accent and background, for light and for dark."""

    title: str
    accent: tuple[str, str]
    background: tuple[str, str]


# Meadow is the look of static/tokens.css, whose other colours were chosen by hand.
DEFAULT = "meadow"
THEMES = {
    DEFAULT: Theme("Meadow", ("#2d6a4c", "#6dbb8f"), ("#f6f4ee", "#151815")),
    "ocean": Theme("Ocean", ("#1d5f8a", "#7cb9e8"), ("#f1f5f8", "#11171c")),
    "plum": Theme("Plum", ("#7a3b69", "#d9a0cb"), ("#f8f3f6", "#1a151a")),
    "clay": Theme("Clay", ("#94472a", "#e3a183"), ("#f9f4ef", "#1a1613")),
    "slate": Theme("Slate", ("#3f4a56", "#aab8c6"), ("#f4f5f6", "#15171a")),
    "contrast": Theme("High contrast", ("#00418f", "#8ec7ff"), ("#ffffff", "#000000")),
}
TEXT_SIZES = {"small": 14, "normal": 16, "large": 18, "larger": 21}
WIDTHS = {"narrow": 620, "normal": 760, "wide": 980, "full": 4000}
CORNERS = {"square": 2, "normal": 12, "round": 20}
NORMAL = "normal"
# Keys of the settings that it reads.
LOOK_SETTINGS = ("colours", "accent", "background", "text_size", "chat_width", "corners")


def look(settings: Mapping[str, object]) -> dict[str, dict[str, str]]:
    """Return CSS variables by mode: "light", "dark" and "both". `settings`: the person's, some may be unset."""
    theme = THEMES.get(str(settings.get("colours") or DEFAULT), THEMES[DEFAULT])
    accent, background = str(settings.get("accent") or ""), str(settings.get("background") or "")
    both = {
        "--text-size": f"{_size(TEXT_SIZES, settings.get('text_size'))}px",
        "--column": f"{_size(WIDTHS, settings.get('chat_width'))}px",
        "--round": f"{_size(CORNERS, settings.get('corners'))}px",
    }
    if theme is THEMES[DEFAULT] and not accent and not background:
        return {"both": both}
    made = {}
    for place, mode in enumerate(("light", "dark")):
        ground = theme.background[place]
        # An own background is for the mode that it belongs to.
        if background and (_luminance(read_colour(background)) > 0.4) == (mode == "light"):
            ground = background
        made[mode] = colours(accent or theme.accent[place], ground)
    return {"both": both, **made}


def colours(accent: str, background: str) -> dict[str, str]:
    """Return the variables of static/tokens.css for an accent on a background."""
    ground = read_colour(background)
    light = _luminance(ground) > 0.4
    far = _BLACK if light else _WHITE
    surface = _mix(ground, _WHITE, 0.6 if light else 0.04)
    field = _mix(ground, _WHITE, 0.9 if light else 0.07)
    hover = _mix(ground, far, 0.05 if light else 0.1)
    wash = _mix(ground, read_colour(accent), 0.12)
    bubble = _mix(ground, read_colour(accent), 0.1 if light else 0.16)
    code = _mix(ground, far if light else _BLACK, 0.04 if light else 0.2)
    grounds = [ground, surface, field, hover, wash, bubble, code]
    ink = _readable(_mix(ground, far, 0.9), grounds, far, 7.0)
    strong = _readable(read_colour(accent), grounds, far)
    on_accent = max(_WHITE, _BLACK, key=lambda one: _contrast(one, strong))
    made = {
        "--ground": ground,
        "--surface": surface,
        "--field": field,
        "--hover": hover,
        "--bubble": bubble,
        "--ink": ink,
        "--soft": _readable(_mix(ground, far, 0.58), grounds, far),
        "--line": _mix(ground, far, 0.13 if light else 0.17),
        "--accent": strong,
        "--accent-strong": _mix(strong, far, 0.18),
        "--on-accent": on_accent,
        "--wash": wash,
        "--code": code,
    }
    return {name: _text(colour) for name, colour in made.items()}


def read_colour(text: str) -> Rgb:
    """Return a colour such as #2d6a4c as its three parts. Raises PaddockError."""
    found = _HEX.fullmatch(text.strip())
    if found is None:
        raise PaddockError(f"{text[:40]!r} is no colour. Write six digits such as #2d6a4c, or leave the field empty.")
    value = int(found[1], 16)
    return float(value >> 16), float(value >> 8 & 255), float(value & 255)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours, from 1 to 21 (WCAG 2.2)."""
    return _contrast(read_colour(one), read_colour(other))


def _size(sizes: Mapping[str, int], choice: object) -> int:
    return sizes.get(str(choice), sizes[NORMAL])


def _readable(colour: Rgb, grounds: list[Rgb], far: Rgb, least: float = LEAST_CONTRAST) -> Rgb:
    """Return the colour, moved toward `far` until a text in it can be read on every ground."""
    for step in range(21):
        # Rounded as it will be written.
        tried = tuple(round(part) for part in _mix(colour, far, step / 20))
        if all(_contrast(tried, _rounded(ground)) >= least for ground in grounds):  # type: ignore[arg-type]
            return tried  # type: ignore[return-value]
    return far


def _rounded(colour: Rgb) -> Rgb:
    red, green, blue = (float(round(part)) for part in colour)
    return red, green, blue


def _mix(one: Rgb, other: Rgb, share: float) -> Rgb:
    """Return `one` with a share of `other`, from 0 to 1."""
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue


def _text(colour: Rgb) -> str:
    return "#" + "".join(f"{round(part):02x}" for part in colour)


def _luminance(colour: Rgb) -> float:
    """Return the relative luminance (WCAG 2.2)."""
    parts = [part / 255 for part in colour]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: Rgb, other: Rgb) -> float:
    bright, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)
