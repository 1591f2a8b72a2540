"""Splits a requirements file of exact pins into the steps in which it is installed.

Some engines require packages or versions that they do not need. Some are compiled against the torch that is already in
the environment. A comment starts another step, with uv's flags for it:

    # paddock: then --no-deps --no-build-isolation
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from modules.protocol.errors import EnvironmentBroken

_THEN = re.compile(r"#\s*paddock:\s*(.*)")
_FLAGS = ("--no-deps", "--no-build-isolation")


@dataclass(frozen=True)
class Step:
    """Pins that are installed together. `text`: a requirements file; `flags`: of `uv pip install`."""

    text: str
    flags: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """The number of packages."""
        lines = (line.strip() for line in self.text.splitlines())
        return sum(bool(line) and not line.startswith(("#", "-")) for line in lines)


def steps(text: str, file: str) -> list[Step]:
    """Return the steps of a requirements file. Raise EnvironmentBroken, which names `file`, for an unknown flag."""
    found: list[Step] = []
    flags: tuple[str, ...] = ()
    lines: list[str] = []
    for line in text.splitlines():
        directive = _THEN.fullmatch(line.strip())
        if directive is None:
            lines.append(line)
            continue
        found.append(Step("\n".join(lines) + "\n", flags))
        then, *words = directive[1].split() or [""]
        if then != "then" or not set(words) <= set(_FLAGS):
            raise EnvironmentBroken(
                f"{file} contains the unknown line {line.strip()!r}. Write: # paddock: then, followed by any of "
                f"{' '.join(_FLAGS)}."
            )
        flags, lines = tuple(words), []
    return [*found, Step("\n".join(lines) + "\n", flags)]
