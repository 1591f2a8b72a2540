"""Find the keys of lorebook entries in texts: words, or regular expressions within a limit of time."""

from __future__ import annotations

import re
import time
from functools import lru_cache

import regex

# A slash that no \\ is before.
_INNER_SLASH = re.compile(r"(?:^|[^\\])/")
# Seconds that one pattern may take on one text, and all patterns of a prompt together.
_SECONDS = 0.1
_ALL_SECONDS = 1.5
_LONGEST_PATTERN = 2000
_FLAGS = {"i": regex.IGNORECASE, "m": regex.MULTILINE, "s": regex.DOTALL}
# Scripts from here on write words without spaces between them.
_WITHOUT_SPACES = 0x2E80
# A letter, digit or _ of the scripts before that.
_LETTER = r"(?:(?![\u2e80-\U0010ffff])\w)"
# Stands before each message that is searched. Patterns of SillyTavern may name it, to ask who speaks.
MESSAGE_START = "\x01"
_NAMES_START = re.compile(r"\x01|\\x01|\\u0001")
# So many longer words with a key are looked at one by one.
_MOST_STEPS = 20


class KeyMatcher:
    """Searches texts for keys. `problems`: sentences about patterns that could not be used."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self._left = _ALL_SECONDS
        self._folded: dict[str, str] = {}
        self._contained: dict[tuple[str, str, bool], bool] = {}

    def found(self, key: str, text: str, *, case: bool, words: bool, pattern: bool) -> bool:
        """Return True if `text` has this key. `pattern`: the key is one, also without slashes around it."""
        if pattern or (key.startswith("/") and key.rfind("/") > 0):
            parsed = parse_pattern(key, case, bare=pattern)
            if parsed is not None:
                return self._search(*parsed, text)
            if pattern:
                self._note(f"The pattern {key[:80]} of a lorebook is no regular expression, so it matches nothing.")
                return False
        # Several words are found anywhere, as in SillyTavern: "dark forest" also in "dark forests".
        words = words and not re.search(r"\s", key.strip())
        folded, wanted = (text, key) if case else (self._fold(text), key.casefold())
        known = (wanted, folded, words)
        if known not in self._contained:
            self._contained[known] = contains(folded, wanted, words=words)
        return self._contained[known]

    def _search(self, pattern: str, flags: int, text: str) -> bool:
        if self._left <= 0:
            self._note("The patterns of the lorebooks took too long together, so some were not used.")
            return False
        begun = time.monotonic()
        if not _NAMES_START.search(pattern):
            text = text.replace(MESSAGE_START, "")
        try:
            return _compiled(pattern, flags).search(text, timeout=min(_SECONDS, self._left)) is not None
        except TimeoutError:
            self._note(f"The pattern {pattern[:80]} of a lorebook took too long, so it was not used.")
            return False
        except (RecursionError, MemoryError, regex.error):
            self._note(f"The pattern {pattern[:80]} of a lorebook cannot be used.")
            return False
        finally:
            self._left -= time.monotonic() - begun

    def _fold(self, text: str) -> str:
        if text not in self._folded:
            self._folded[text] = text.casefold()
        return self._folded[text]

    def _note(self, problem: str) -> None:
        if problem not in self.problems:
            self.problems.append(problem)


def parse_pattern(key: str, case: bool, *, bare: bool = False) -> tuple[str, int] | None:
    """Return the (pattern, flags) of /pattern/flags as JavaScript has it, or None where the key is no such pattern.

    `bare`: a key without slashes is a pattern too.
    """
    body, flags = key, 0 if case else regex.IGNORECASE
    end = key.rfind("/")
    slashes = key.startswith("/") and end > 0 and set(key[end + 1 :]) <= set("gimsuy")
    if slashes and not bare and _INNER_SLASH.search(key[1:end]):
        # A path such as /home/user/.
        return None
    if slashes:
        body, flags = key[1:end].replace("\\/", "/"), 0
        for letter in key[end + 1 :]:
            flags |= _FLAGS.get(letter, 0)
    elif not bare:
        return None
    if not body or len(body) > _LONGEST_PATTERN:
        return None
    try:
        _compiled(body, flags)
    except (regex.error, OverflowError, RecursionError, MemoryError):
        return None
    return body, flags


@lru_cache(500)
def _compiled(pattern: str, flags: int) -> regex.Pattern[str]:
    return regex.compile(pattern, flags | regex.VERSION0)


def contains(text: str, key: str, *, words: bool) -> bool:
    """Return True if `text` has `key`. `words`: not as a part of a longer word."""
    key = key.strip()
    if not key:
        return False
    place = text.find(key)
    for _ in range(_MOST_STEPS):
        if place < 0 or not words:
            return place >= 0
        if not (_joined(text, place) or _joined(text, place + len(key))):
            return True
        place = text.find(key, place + 1)
    # A pattern is quicker for a key that many longer words have.
    return place >= 0 and _word_pattern(key).search(text, place) is not None


@lru_cache(500)
def _word_pattern(key: str) -> re.Pattern[str]:
    before = rf"(?<!{_LETTER})" if re.match(_LETTER, key) else ""
    after = rf"(?!{_LETTER})" if re.match(_LETTER, key[-1]) else ""
    return re.compile(f"{before}{re.escape(key)}{after}")


def _joined(text: str, place: int) -> bool:
    """Return True if the letters before and after this place belong to one word."""
    if not 0 < place < len(text):
        return False
    return all(
        (letter.isalnum() or letter == "_") and ord(letter) < _WITHOUT_SPACES for letter in text[place - 1 : place + 1]
    )
