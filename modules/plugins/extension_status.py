"""The state of an extension as the page and the command line show it."""

from __future__ import annotations

from dataclasses import dataclass, field

from modules.plugins.requirements import Need

# "failed": switched off for this session after an error. "blocked": it cannot run as it is. "consent": the user has not
# agreed to run its files as they are now.
STATES = ("off", "on", "failed", "blocked", "consent")


@dataclass(frozen=True)
class Fault:
    """A failure of an extension: the hook, a sentence, and the traceback."""

    hook: str
    message: str
    detail: str = ""


@dataclass(frozen=True)
class ExtensionStatus:
    """An extension as it is now.

    `state`: one of STATES. `kind`: "paddock" or "text-generation-webui". `message`: a sentence about the state;
    `notes`: more sentences. `needs`: its requirements. `unbuilt`: a sentence if packages need consent to be built, else
    "". `settings`: the schema of its settings, or None; `values`: the saved values. `place`: its position in the order,
    from 0; -1 if it is off.
    """

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
    settings: type[object] | None = None
    values: dict[str, object] = field(default_factory=dict)
    output: str = ""
    is_tab: bool = False
    place: int = -1
