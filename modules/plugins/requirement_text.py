"""Read the lines in which an extension asks for packages. Only a name with versions from an index can be installed."""

from __future__ import annotations

import codecs
import re

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import InvalidName, canonicalize_name

# Written by the tools of Windows, and taken by pip.
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HASH = re.compile(r"\s+--hash[=\s]\S+")
_COMMENT = re.compile(r"(?:^|\s)#.*$")
# `package.zip` is a name by the rules, and a file to the installer.
_ARCHIVES = (".whl", ".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".xz", ".txz", ".zst", ".lz", ".lzma", ".egg")


class Refused(ValueError):
    """A requirement that is never installed. `name`: of its package, where it says one."""

    def __init__(self, why: str, name: str = "") -> None:
        super().__init__(why)
        self.name = name


def lines_of(content: bytes) -> tuple[str, ...]:
    """The lines of a requirements.txt without comments and hashes: requirements, and options such as `-r more.txt`.
    Raises UnicodeDecodeError."""
    mark, encoding = next(((mark, name) for mark, name in _MARKS if content.startswith(mark)), (b"", "utf-8"))
    text = content[len(mark) :].decode(encoding)
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = (_HASH.sub("", _COMMENT.sub("", line)).strip() for line in joined.splitlines())
    return tuple(line for line in lines if line)


def read(text: str) -> Requirement:
    """The package that a line asks for. Raises Refused for an option, an address, a path or a file, with the reason;
    InvalidRequirement for what is none of these."""
    text = text.strip()
    if text.startswith("-"):
        raise Refused("it is an option of pip, which an extension may not give")
    try:
        wanted = Requirement(text)
    except InvalidRequirement:
        if "://" in text or text.startswith((".", "/", "~", "\\", "file:")) or re.match(r"[A-Za-z]:[\\/]", text):
            raise Refused("it is an address or a path") from None
        if re.search(r"\s--?[A-Za-z]", text):
            raise Refused("it brings options of pip, which an extension may not give") from None
        raise
    if wanted.url is not None:
        raise Refused("it is an address or a path", wanted.name)
    if wanted.name.lower().endswith(_ARCHIVES):
        raise Refused("it is the name of a file")
    return wanted


def in_plain(wanted: Requirement) -> str:
    """A requirement rebuilt from its parts: name, extras and versions, and nothing else that its text may hold."""
    extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    return f"{wanted.name}{extras}{wanted.specifier}"


def name_of(text: str) -> str:
    """The canonical name of the package that a line asks for; "" where it names none."""
    try:
        return canonicalize_name(read(text).name, validate=True)
    except Refused as error:
        return canonicalize_name(error.name)
    except (InvalidRequirement, InvalidName):
        return ""
