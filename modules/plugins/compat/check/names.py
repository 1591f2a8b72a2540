"""Whether names of text-generation-webui lead to something in the facade."""

from __future__ import annotations

import re
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from modules.plugins.compat.facade import Facade
from modules.plugins.compat.facade.base import Impossible
from modules.plugins.compat.facade.model import Model
from modules.plugins.compat.facade.tokenizer import Tokenizer
from modules.plugins.compat.imports import HostNameMissing
from modules.protocol.errors import PaddockError, Unsupported

_KEY = re.compile(r"(.+)\['(.*)'\]$")
# What is None without a model -> what it is with one.
_WITH_MODEL: dict[str, type[Any]] = {"modules.shared.model": Model, "modules.shared.tokenizer": Tokenizer}


def lacking(facade: Facade, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """(names that lead to nothing, the shortest first; sentences about those among them that cannot exist here)."""
    missing: list[str] = []
    sentences: list[str] = []
    for name in sorted(names, key=len):
        if any(name.startswith((f"{known}.", f"{known}[")) for known in missing):
            continue
        try:
            found = _find(facade, name)
            if isinstance(found, Impossible):
                missing.append(name)
                found()
        except (HostNameMissing, LookupError, AttributeError):
            missing.append(name)
        except Unsupported as error:
            sentences.append(error.message)
        except PaddockError:
            # It is there, and wants a model.
            continue
    return missing, sentences


def _find(facade: Facade, name: str) -> Any:
    if match := _KEY.match(name):
        return _find(facade, match[1])[match[2]]
    parts = name.split(".")
    found: Any = facade.module(parts[0])
    whole = parts[0]
    for part in parts[1:]:
        whole = f"{whole}.{part}"
        if whole.rpartition(".")[0] in _WITH_MODEL:
            kind = _WITH_MODEL[whole.rpartition(".")[0]]
            return None if part.startswith("__") else _of_class(kind, part)
        found = getattr(found, part) if isinstance(found, ModuleType) or len(parts) > 2 else None
        if found is None or isinstance(found, (str, int, float, bool)):
            return found
    return found


def _of_class(kind: type[Any], name: str) -> Any:
    if name not in dir(kind):
        raise AttributeError(name)
    return vars(kind).get(name)
