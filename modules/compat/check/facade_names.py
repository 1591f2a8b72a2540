"""Finds names of text-generation-webui that an extension uses and the facade lacks."""

from __future__ import annotations

from modules.compat.check.source import Source
from modules.compat.facade import Facade
from modules.compat.facade.base import Impossible
from modules.compat.import_redirect import HostNameMissing
from modules.protocol.errors import PaddockError, Unsupported

# Objects whose attributes are checked too: flags, and the loaded model.
_DEEPER = ("modules.shared.args", "modules.shared.model", "modules.shared.tokenizer")


def missing_names(facade: Facade, source: Source) -> tuple[list[str], list[str]]:
    """Return (names that the facade lacks, sentences about those that cannot exist here)."""
    missing: list[str] = []
    sentences: list[str] = []
    ignored = [*source.optional, *(name for name in source.replaced if not _has(facade, name))]
    for name in sorted({_checked_part(name) for name in source.names}, key=lambda name: (len(name), name)):
        if any(name == own or name.startswith(f"{own}.") for own in ignored):
            continue
        if not any(name.startswith((f"{known}.", f"{known}[")) for known in missing) and not _has(facade, name):
            missing.append(name)
            sentences += _why(facade, name)
    return missing, sentences


def _checked_part(name: str) -> str:
    """Return the part of a name that belongs to the host. The rest is an attribute of a value."""
    path, bracket, key = name.partition("[")
    parts = path.split(".")
    return ".".join(parts[: 4 if name.startswith(_DEEPER) else 3]) + bracket + key


def _has(facade: Facade, name: str) -> bool:
    try:
        # A module can be imported even if its names cannot work. Those are checked one by one.
        return facade.has(name) or (name.count(".") == 1 and facade.module(name) is not None)
    except HostNameMissing:
        return False
    except PaddockError:
        # It exists, and needs a loaded model.
        return True


def _why(facade: Facade, name: str) -> list[str]:
    path, _, last = name.rpartition(".")
    try:
        found = getattr(facade.module(path), last, None)
        if isinstance(found, Impossible):
            found()
    except Unsupported as error:
        return [error.message]
    except HostNameMissing:
        pass
    return []
