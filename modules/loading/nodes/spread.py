"""One load over several machines: chooses them, gets them ready, watches them, and ends their parts."""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modules.loading.nodes.model_files import list_model_files
from modules.loading.nodes.network import firewall_sentence, interface_of, open_port, reaches
from modules.loading.nodes.node_facts import NodeRefused, cards_of, own_facts
from modules.loading.nodes.registry import Node, NodeRegistry
from modules.protocol.errors import PaddockError
from modules.protocol.node_placement import NodePlacement
from modules.protocol.schema import changed_values
from modules.runtime.load_request import LoadRequest
from modules.runtime.node_spread import NodeSpread, Report

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from modules.protocol.loader_spec import LoaderSpec
    from modules.protocol.model_facts import Machine, ModelFacts
    from modules.runtime.environment import Environments
    from modules.runtime.loader_registry import Registry

_ALONE = "No node has joined, so the model runs on this machine alone."
# How often the wait for the machines looks at its report.
_LOOK_SECONDS = 0.5


class Nodes:
    """Chooses the machines of loads among those that have joined."""

    def __init__(self, loaders: Registry, environments: Environments, machine: Machine) -> None:
        self.registry = NodeRegistry(lambda: own_facts(loaders, environments, machine))
        self._cards = len(cards_of(machine))

    def settings(
        self, facts: ModelFacts, spec: LoaderSpec, settings: DataclassInstance
    ) -> tuple[Mapping[str, object], list[Node]]:
        """Return the settings that follow from this machine and those that have joined, and the latter.

        Both are empty where the user's settings keep a load on this machine. Raises SettingError.
        """
        if spec.over_nodes is None:
            return {}, []
        nodes = self._usable(spec)
        found = spec.over_nodes(facts, settings, [self._cards, *(len(node.facts.cards) for node in nodes)])
        return ({}, []) if found is None else (found, nodes)

    def choose(self, request: LoadRequest) -> LoadRequest:
        """Return a load with the settings that follow from the machines. Raises SettingError."""
        values, nodes = self.settings(request.facts, request.spec, request.settings)
        # A load that is repeated has the notes of the one before.
        notes = [note for note in request.notes if note != _ALONE] + ([_ALONE] if values and not nodes else [])
        return dataclasses.replace(request, automatic={**request.automatic, **values}, notes=notes)

    def spread(self, request: LoadRequest) -> NodeSpread | None:
        """Return the spread of a load, None where it uses this machine alone. Raise PaddockError."""
        settings, nodes = self.settings(request.facts, request.spec, request.settings)
        if nodes:
            return LoadSpread(self.registry, request, settings, nodes)
        # An install or another load may have taken minutes since the parts were counted.
        if any(request.automatic.get(name) != value for name, value in settings.items()):
            raise NodeRefused("Nodes have left since this load began. Load the model again.")
        return None

    def _usable(self, spec: LoaderSpec) -> list[Node]:
        if not (joined := self.registry.joined):
            return []
        own = self.registry.own_facts().environments.get(spec.name)
        return [node for node in joined if own and node.facts.environments.get(spec.name) == own]


class LoadSpread(NodeSpread):
    """The machines of one load. Thread-safe."""

    def __init__(
        self, registry: NodeRegistry, request: LoadRequest, settings: Mapping[str, object], nodes: Sequence[Node]
    ) -> None:
        self._registry = registry
        self._request = request
        self._nodes = list(nodes)
        self._id = secrets.token_hex(8)
        self._changed = threading.Condition()
        self._states: dict[Node, Mapping[str, object]] = {}
        self._problem = ""
        self._ended = False
        self._kill: Callable[[str], None] = lambda why: None
        self._open = contextlib.ExitStack()
        self.settings = settings
        self._address = nodes[0].facts.host_address
        try:
            self._port = self._open.enter_context(open_port(self._address))
        except OSError:
            raise NodeRefused(
                f"The nodes reach this machine at {self._address}, which is not one of its addresses. Let them join "
                "at an address of this machine's network interface."
            ) from None
        self.variables = self._placement(0, self._address, interface_of(self._address)).variables()
        names = ", ".join(node.name for node in nodes)
        self.note = f"The model is spread over {len(nodes) + 1} machines: this one and {names}."
        self._unsubscribe = registry.reports.add(self._report)
        # Of nodes that were lost just before.
        self._problem = next((node.lost for node in nodes if node.lost), self._problem)

    def prepare(self, report: Report, kill: Callable[[str], None]) -> None:
        self._kill = kill
        facts = self._request.facts
        files = list_model_files(Path(facts.path))
        for rank, node in enumerate(self._nodes, 1):
            node.send(
                {
                    "type": "follow",
                    "load": self._id,
                    "model": facts.name,
                    "loader": self._request.spec.name,
                    "purpose": facts.purpose or "generate",
                    "settings": {**changed_values(self._request.used_settings), **self.settings},
                    "files": files,
                    "placement": dataclasses.asdict(self._placement(rank, node.facts.address, "")),
                }
            )
        self._wait_until_ready(report)
        for node in self._nodes:
            port = self._states[node].get("port")
            if not reaches(node.facts.address, port if isinstance(port, int) else 0):
                raise NodeRefused(firewall_sentence("This machine", node.name, node.facts.address))
        # vLLM listens on the port now. Until all are ready, a part that started would connect to this placeholder.
        self._open.close()
        for node in self._nodes:
            node.send({"type": "go", "load": self._id})

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._unsubscribe()
        self._open.close()
        for node in self._nodes:
            node.doing = "Unloading" if node.doing else ""
            node.send({"type": "stop", "load": self._id})
        self._registry.changes.notify()

    def _placement(self, rank: int, address: str, interface: str) -> NodePlacement:
        return NodePlacement(rank, len(self._nodes) + 1, self._address, self._port, address, interface)

    def _wait_until_ready(self, report: Report) -> None:
        shown = ""
        with self._changed:
            while True:
                if self._problem:
                    raise NodeRefused(self._problem)
                if self._ended:
                    raise PaddockError("The load was cancelled.")
                waiting = [node for node in self._nodes if self._states.get(node, {}).get("state") != "ready"]
                if not waiting:
                    return
                text = f"{waiting[0].name}: {self._states.get(waiting[0], {}).get('text') or 'waiting for its answer'}"
                if text != shown:
                    shown = text
                    report(text, None)
                self._changed.wait(_LOOK_SECONDS)

    def _report(self, node: Node, load: str, message: Mapping[str, object]) -> None:
        state = message.get("state")
        if node not in self._nodes or (load != self._id and state != "lost"):
            return
        with self._changed:
            self._states[node] = message
            failed = state in ("failed", "lost") and not self._problem and not self._ended
            if failed:
                text = str(message.get("text", ""))
                self._problem = text if state == "lost" else f"The node {node.name} ended its part of the model. {text}"
            self._changed.notify_all()
        if failed:
            self._kill(self._problem)
