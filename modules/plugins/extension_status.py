"""What the page and the command line tell of an extension."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from modules.plugins.requirements import Need

# off; on; failed (switched off for this session); blocked (cannot run as it is); consent (its files wait for a yes).
STATES = ("off", "on", "failed", "blocked", "consent")


@dataclass(frozen=True)
class Fault:
    """Why an extension was switched off: where, a sentence, and the traceback for behind a fold."""

    hook: str
    message: str
    detail: str = ""


@dataclass(frozen=True)
class ExtensionStatus:
    """An extension as it is now. `kind`: "paddock" or "text-generation-webui". `message`: a sentence about its state;
    `notes`: further ones; `needs`: its requirements; `unbuilt`: why packages wait for a yes to build them, or "";
    `settings`: its schema, or None; `values`: what is set."""

    name: str
    title: str
    state: str
    kind: str
    version: str = ""
    description: str = ""
    wants: tuple[str, ...] = ()
    message: str = ""
    detail: str = ""
    notes: tuple[str, ...] = ()
    hooks: tuple[str, ...] = ()
    needs: tuple[Need, ...] = ()
    unbuilt: str = ""
    sha256: str = ""
    shipped: bool = False
    settings: type[Any] | None = None
    values: dict[str, Any] = field(default_factory=dict)
    output: str = ""
    is_tab: bool = False
    place: int = -1
