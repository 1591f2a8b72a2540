"""The names of attached files, which are data from outside."""

from __future__ import annotations

from modules.files.data_files import fix_surrogates
from modules.files.paths import UNREADABLE

_LONGEST = 200
# File systems allow 255, and a file gets a number or a temporary ending besides.
_LONGEST_BYTES = 230


def attachment_name(name: str) -> str:
    """Return a file's name without folders and without characters that mislead, as long as files may be called.

    It has at most 200 letters and 230 bytes, and keeps its ending.
    """
    plain = UNREADABLE.sub("", fix_surrogates(name)).replace("\\", "/").rpartition("/")[2].strip()
    stem, dot, ending = plain.rpartition(".")
    keep = f"{dot}{ending}" if stem and len(ending) < 12 else ""
    begin = plain[: len(plain) - len(keep)][: _LONGEST - len(keep)]
    while len((begin + keep).encode()) > _LONGEST_BYTES:
        begin = begin[:-1]
    return begin + keep or "file"
