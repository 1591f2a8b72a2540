"""The names of attached files, which are data from outside."""

from __future__ import annotations

from modules.files.data_files import fix_surrogates
from modules.files.paths import UNREADABLE

_LONGEST = 200


def attachment_name(name: str) -> str:
    """Return a file's name without folders and without characters that mislead, at most 200 letters long."""
    plain = UNREADABLE.sub("", fix_surrogates(name)).replace("\\", "/").rpartition("/")[2].strip()
    if len(plain) > _LONGEST:
        stem, dot, ending = plain.rpartition(".")
        keep = f"{dot}{ending}" if stem and len(ending) < 12 else ""
        plain = plain[: _LONGEST - len(keep)] + keep
    return plain or "file"
