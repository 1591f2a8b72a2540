"""What a machine says about itself when it joins, and why a host refuses it."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from modules.library.sizes import format_size
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Gpu, Machine
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.system.version import VERSION

# Of the messages between host and nodes.
NODE_PROTOCOL = 1
# How far two clocks may differ. Certificates and logs of several machines need about the same time.
MOST_CLOCK_SECONDS = 60.0
_LONGEST_TEXT = 200
_LARGEST = 1e18
_MOST_CARDS = 64


class NodeRefused(PaddockError):
    """A machine cannot join, or a load cannot use the machines that have joined."""

    code = "node"


@dataclass(frozen=True)
class NodeFacts:
    """A machine that joins.

    `environments`: loader -> the name of its environment, which says its version, of the loaders that spread models and
    are installed. `cards`: names of its graphics cards that they use, with `card_bytes` of memory in all. `address` and
    `host_address`: both ends of its connection to the host. `clock`: its time, in seconds since 1970.
    """

    name: str
    version: str = VERSION
    protocol: int = NODE_PROTOCOL
    environments: Mapping[str, str] = field(default_factory=dict)
    cards: tuple[str, ...] = ()
    card_bytes: int = 0
    free_bytes: int = 0
    cpus: int = 0
    address: str = ""
    host_address: str = ""
    clock: float = 0.0

    def describe(self) -> str:
        """Return its cards, or its processors, and its memory."""
        cards = [f"{self.cards.count(name)} × {name}" for name in dict.fromkeys(self.cards)]
        own = f"{', '.join(cards)} ({format_size(self.card_bytes)})" if cards else f"no card, {self.cpus} processors"
        return f"{own}, {format_size(self.free_bytes)} of main memory free"


def own_facts(
    registry: Registry, environments: Environments, machine: Machine, name: str = "", ends: tuple[str, str] = ("", "")
) -> NodeFacts:
    """Return the facts of this machine. `ends`: its address and the host's."""
    cards = cards_of(machine)
    return NodeFacts(
        name or socket.gethostname(),
        environments=installed_environments(registry, environments),
        cards=tuple(gpu.name for gpu in cards),
        card_bytes=sum(gpu.total_bytes for gpu in cards),
        free_bytes=machine.free_bytes,
        cpus=machine.cpus,
        address=ends[0],
        host_address=ends[1],
        clock=time.time(),
    )


def cards_of(machine: Machine) -> list[Gpu]:
    """Return the graphics cards that loaders spread models over."""
    return [gpu for gpu in machine.gpus if gpu.kind == "cuda"]


def installed_environments(registry: Registry, environments: Environments) -> dict[str, str]:
    """Return loader -> name of its environment, of the loaders that spread models and are installed."""
    able = (spec for spec in registry.specs.values() if spec.over_nodes)
    return {spec.name: environment_name(environments, spec) for spec in able if environments.status(spec).installed}


def environment_name(environments: Environments, spec: LoaderSpec) -> str:
    """Return the name of a loader's environment. Equal names have equal pins."""
    return environments.status(spec).path.name


def read_facts(body: Mapping[str, Any]) -> NodeFacts:
    """Return the facts in a JSON body. Raise SettingError."""
    known = {entry.name: body[entry.name] for entry in fields(NodeFacts) if entry.name in body}
    texts = ("name", "version", "address", "host_address")
    numbers = ("protocol", "card_bytes", "free_bytes", "cpus", "clock")
    cards, found = known.get("cards", []), known.get("environments", {})
    right = (
        all(isinstance(known.get(name, ""), str) and len(known.get(name, "")) <= _LONGEST_TEXT for name in texts)
        and all(type(number := known.get(name, 0)) in (int, float) and abs(number) < _LARGEST for name in numbers)
        and isinstance(cards, list)
        and len(cards) <= _MOST_CARDS
        and all(isinstance(card, str) and len(card) <= _LONGEST_TEXT for card in cards)
        and isinstance(found, dict)
        and all(isinstance(text, str) and len(text) <= _LONGEST_TEXT for pair in found.items() for text in pair)
    )
    if not right or not str(known.get("name", "")).strip():
        raise SettingError(
            "The facts of the node are not as Paddock sends them. Join with `webui.py node join` of this version."
        )
    return NodeFacts(**{**known, "cards": tuple(cards)})


def why_refused(node: NodeFacts, own: NodeFacts) -> str:
    """Return why the node cannot join this host, as sentences with a next step; "" if it can."""
    if (node.version, node.protocol) != (own.version, own.protocol):
        return (
            f"{node.name} has Paddock {node.version}, this host has {own.version}. Install the same version on both, "
            "then join again."
        )
    off = node.clock - own.clock
    if abs(off) > MOST_CLOCK_SECONDS:
        way = "ahead of" if off > 0 else "behind"
        return (
            f"The clock of {node.name} is {_duration(abs(off))} {way} this host's. Set the clocks of both, for example "
            "with NTP, then join again."
        )
    if not node.environments:
        return f"{node.name} has no loader that spreads models. Run there: webui.py install vllm. Then join again."
    if not any(node.environments.get(loader) == name for loader, name in own.environments.items()):
        theirs = ", ".join(sorted(node.environments.values()))
        ours = ", ".join(sorted(own.environments.values())) or "none"
        return (
            f"{node.name} has other environments ({theirs}) than this host ({ours}), and vLLM needs the same version "
            "on all machines. Run `webui.py install vllm` on both, with the same variant, then join again."
        )
    if not (node.address and node.host_address):
        return f"{node.name} did not say its address. Join with `webui.py node join` of this version."
    if ":" in node.address:
        return f"{node.name} joined at an IPv6 address. Join at the host's IPv4 address."
    return ""


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    # A machine without a battery for its clock begins at its last shutdown, or in 1970.
    return f"{seconds / 3600:.1f} hours" if seconds < 2 * 86400 else f"{seconds / 86400:,.0f} days"
