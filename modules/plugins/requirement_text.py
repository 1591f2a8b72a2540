"""Reads requirement lines of extensions. Only a package name with versions, from an index, can be installed."""

from __future__ import annotations

import codecs
import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, canonicalize_name

# Byte order marks that Windows tools write and pip accepts.
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HASH = re.compile(r"\s+--hash[=\s]\S+")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
# `package.zip` is a valid package name, but the installer takes it for a file.
_ARCHIVES = (".whl", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".xz", ".txz", ".zst", ".lz", ".lzma", ".egg")


class Refused(ValueError):
    """A requirement that is never installed. `name`: of its package, or ""."""

    def __init__(self, why: str, name: str = "") -> None:
        super().__init__(why)
        self.name = name


def lines_of(content: bytes) -> tuple[str, ...]:
    """Return the lines of a requirements.txt without comments and hashes.

    A line is a requirement or an option such as `-r more.txt`. Raises UnicodeDecodeError.
    """
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    text = content[len(mark) :].decode(encoding)
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = (_HASH.sub("", _COMMENT.sub("", line)).strip() for line in joined.splitlines())
    return tuple(line for line in lines if line)


def read(text: str) -> Requirement:
    """Return the requirement in a line.

    Raises Refused, with the reason, for an option, an address, a path or a file, and InvalidRequirement for any other
    line that is not a requirement.
    """
    text = text.strip()
    if text.startswith("-"):
        raise Refused("it is an option of pip, which an extension may not set")
    try:
        wanted = Requirement(text)
    except InvalidRequirement:
        if "://" in text or text.startswith((".", "/", "~", "\\", "file:")) or re.match(r"[A-Za-z]:[\\/]", text):
            raise Refused("it is an address or a path") from None
        if re.search(r"\s--?[A-Za-z]", text):
            raise Refused("it has options of pip, which an extension may not set") from None
        raise
    if wanted.url is not None:
        raise Refused("it is an address or a path", wanted.name)
    if wanted.name.lower().endswith(_ARCHIVES):
        raise Refused("it is the name of a file")
    return wanted


def in_plain(wanted: Requirement) -> str:
    """Return a requirement with its name, extras and versions, and without other parts of its text."""
    extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    return f"{wanted.name}{extras}{wanted.specifier}"


def name_of(text: str) -> str:
    """Return the canonical name of the package in a line; "" if it names none."""
    try:
        return canonicalize_name(read(text).name, validate=True)
    except Refused as error:
        return canonicalize_name(error.name)
    except (InvalidRequirement, InvalidName):
        return ""
