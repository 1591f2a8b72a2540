"""Names of files for characters, personas and lorebooks, made from names that other programs or people wrote."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from modules.files.data_files import fix_surrogates
from modules.files.paths import UNREADABLE, PathError

_FORBIDDEN = re.compile(r'[/\\:*?"<>|]+')
_LONGEST = 60
_LONGEST_BYTES = 180


def file_name(name: str, fallback: str) -> str:
    """Return a name as files may have it: without folders and characters that some systems refuse."""
    plain = " ".join(_FORBIDDEN.sub(" ", UNREADABLE.sub("", fix_surrogates(name))).split()).strip(". ")[:_LONGEST]
    while len(plain.encode("utf-8", "replace")) > _LONGEST_BYTES:
        plain = plain[:-1]
    return plain.strip(". ") or fallback


def free_name(name: str, fallback: str, taken: Collection[str], check: Callable[[str], object]) -> str:
    """Return a file's name that is free: with a number if there is such a file. `check` raises PathError."""
    plain = file_name(name, fallback)
    try:
        check(plain)
    except PathError:
        plain = fallback
    used = {one.casefold() for one in taken}
    number, found = 1, plain
    while found.casefold() in used:
        number += 1
        found = f"{plain} {number}"
    return found
