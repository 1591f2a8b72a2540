"""Splits a requirements file of exact pins into the steps in which it is installed.

Some engines require packages or versions that they do not need. Some are compiled against the torch that is already in
the environment, some come from another index. A comment starts another step, with uv's flags for it:

    # paddock: then --no-deps --no-build-isolation
    # paddock: then --no-deps --default-index https://example.org/wheels

With --default-index the step's packages come from this index alone, not from the user's. --config-setting passes
a setting on to the build of what is compiled. Lines that begin with `# paddock: and` add flags to the step.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from modules.protocol.errors import EnvironmentBroken

_THEN = re.compile(r"#\s*paddock:\s*(.*)")
_FLAGS = ("--no-deps", "--no-build-isolation")
_INDEX = "--default-index"
_TRUSTED = "--allow-insecure-host"
_VALUED = (_INDEX, "--config-setting")


@dataclass(frozen=True)
class Step:
    """Pins that are installed together. `text`: a requirements file; `flags`: of `uv pip install`."""

    text: str
    flags: tuple[str, ...] = ()

    def arguments(self, sources: Sequence[str]) -> list[str]:
        """Return uv's arguments for this step. `sources`: those for the user's package indexes.

        An index that the flags name takes their place, except offline, where the packages come from the user's folders.
        """
        flags = list(self.flags)
        if _INDEX not in flags:
            return [*sources, *flags]
        if "--no-index" in sources:
            place = flags.index(_INDEX)
            return [*sources, *flags[:place], *flags[place + 2 :]]
        trusted = [place for place, word in enumerate(sources) if word == _TRUSTED]
        return [*(word for place in trusted for word in sources[place : place + 2]), *flags]

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
        word, *more = directive[1].split() or [""]
        continues = word == "and" and bool(found) and not any(map(str.strip, lines))
        if not (word == "then" or continues) or not _known(more):
            raise EnvironmentBroken(
                f"{file} contains the unknown line {line.strip()!r}. Write: # paddock: then, followed by any of "
                f"{' '.join(_FLAGS)}, {_INDEX} ADDRESS and --config-setting NAME=VALUE. For more flags, write below: "
                "# paddock: and, followed by any of the same."
            )
        if continues:
            flags += tuple(more)
            continue
        found.append(Step("\n".join(lines) + "\n", flags))
        flags, lines = tuple(more), []
    return [*found, Step("\n".join(lines) + "\n", flags)]


def _known(words: list[str]) -> bool:
    """Return True if all words are flags that are known, with their values."""
    ahead = iter(words)
    return all(word in _FLAGS or (word in _VALUED and not next(ahead, "--").startswith("--")) for word in ahead)
