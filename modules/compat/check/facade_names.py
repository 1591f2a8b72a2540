"""Whether names of text-generation-webui lead to something in the facade."""

from __future__ import annotations

from modules.compat.check.source import Source
from modules.compat.facade import Facade
from modules.compat.facade.base import Impossible
from modules.compat.import_redirect import HostNameMissing
from modules.protocol.errors import PaddockError, Unsupported

# What of them is looked at one level deeper: flags, and what belongs to a loaded model.
_DEEPER = ("modules.shared.args", "modules.shared.model", "modules.shared.tokenizer")


def lacking(facade: Facade, source: Source) -> tuple[list[str], list[str]]:
    """(names that lead to nothing; sentences about those among them that cannot exist here)."""
    missing: list[str] = []
    sentences: list[str] = []
    spared = [*source.optional, *(name for name in source.brought if not _has(facade, name))]
    for name in sorted({_judged(name) for name in source.names}, key=lambda name: (len(name), name)):
        if any(name == own or name.startswith(f"{own}.") for own in spared):
            continue
        if not any(name.startswith((f"{known}.", f"{known}[")) for known in missing) and not _has(facade, name):
            missing.append(name)
            sentences += _why(facade, name)
    return missing, sentences


def _judged(name: str) -> str:
    """The part of a name that is the host's: what follows is an attribute of a value."""
    path, bracket, key = name.partition("[")
    parts = path.split(".")
    return ".".join(parts[: 4 if name.startswith(_DEEPER) else 3]) + bracket + key


def _has(facade: Facade, name: str) -> bool:
    try:
        # A whole module can be imported, also where its names cannot work: those are judged one by one.
        return facade.has(name) or (name.count(".") == 1 and facade.module(name) is not None)
    except HostNameMissing:
        return False
    except PaddockError:
        # It is there, and wants a model.
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
