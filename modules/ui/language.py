"""The language of the page: the person's choice, else the first that the browser asks for and the page has."""

from __future__ import annotations

import re
from pathlib import Path

# Native names, as people look for their own language. A catalog in static/locales/ makes a language available.
NAMES = {"en": "English", "de": "Deutsch", "ar": "العربية"}
RIGHT_TO_LEFT = frozenset({"ar", "he", "fa", "ur"})
ENGLISH = "en"
# Translations that no native speaker has read yet.
UNREAD = frozenset({"de", "ar"})
_CATALOGS = Path(__file__).parent / "static" / "locales"
_WANTED = re.compile(r"\s*([A-Za-z]{1,8})(?:-[A-Za-z0-9-]{1,40})?\s*(?:;\s*q=([0-9.]{1,5}))?\s*")


def languages() -> list[str]:
    """Return the languages that the page has, English first."""
    return [ENGLISH, *sorted(path.stem for path in _CATALOGS.glob("*.json"))]


def choose_language(choice: str, accepted: str) -> str:
    """Return the language of the page. `choice`: the setting, or "". `accepted`: the header Accept-Language."""
    known = languages()
    if choice in known:
        return choice
    wanted = []
    for place, entry in enumerate(accepted[:1000].split(",")):
        if (found := _WANTED.fullmatch(entry)) and (weight := _weight(found[2])) > 0:
            wanted.append((-weight, place, found[1].lower()))
    return next((language for _, _, language in sorted(wanted) if language in known), ENGLISH)


def direction(language: str) -> str:
    """Return "rtl" for a language that is written from right to left, else "ltr"."""
    return "rtl" if language in RIGHT_TO_LEFT else "ltr"


def _weight(text: str | None) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0
