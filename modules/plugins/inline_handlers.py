"""Finds script in attributes of an extension's markup, such as onclick="…".

The page runs such script only while an extension that needs it is on.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

_KINDS = (".py", ".js", ".mjs", ".html", ".htm", ".jinja", ".svg")
_SKIPPED = frozenset({"__pycache__", ".git", ".venv", "node_modules"})
_MOST_BYTES = 2_000_000
_EVENT = (
    "on(?:abort|animation[a-z]+|auxclick|before[a-z]+|blur|cancel|canplay|change|click|close|contextmenu|copy|cut|dblclick"
    "|drag[a-z]*|drop|ended|error|focus[a-z]*|input|invalid|key(?:down|press|up)|load[a-z]*|message|mouse[a-z]+|paste"
    "|pause|play(?:ing)?|pointer[a-z]+|reset|resize|scroll|search|seek(?:ed|ing)|select[a-z]*|submit|timeupdate|toggle"
    "|touch[a-z]+|transition[a-z]+|unload|volumechange|wheel)"
)
# An attribute in markup, or one that a script sets. A property (`element.onclick = …`) is not an attribute.
_HANDLER = re.compile(
    rf"""(?<![\w.$-]){_EVENT}\s*=\s*\\?["'{{]|setAttribute\(\s*["'`]{_EVENT}\b""".encode(), re.IGNORECASE
)


@lru_cache(maxsize=256)
def inline_handler(folder: Path, sha256: str) -> str:
    """Return the first place, such as "script.py, line 12", or "". `sha256`: of the folder's code; the cache key."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in _KINDS or not _SKIPPED.isdisjoint(path.relative_to(folder).parts):
            continue
        try:
            with path.open("rb") as file:
                content = file.read(_MOST_BYTES)
        except OSError:
            continue
        if found := _HANDLER.search(content):
            line = content.count(b"\n", 0, found.start()) + 1
            return f"{path.relative_to(folder).as_posix()}, line {line}"
    return ""
