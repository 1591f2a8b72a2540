"""The machines that have joined this host with `node join`: who they are, how they are, what the host sends."""

from __future__ import annotations

import dataclasses
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from modules.loading.nodes.node_facts import NodeFacts, NodeRefused, why_refused
from modules.protocol.errors import PaddockError
from modules.system.listeners import Listeners

# How often host and node send each other a sign of life, and after how long a silent one counts as lost.
BEAT_SECONDS = 5.0
LOST_SECONDS = 20.0

Message = dict[str, object]
# Hears a node's reports about a load, and ("lost", sentence) when the node is lost.
OnReport = Callable[["Node", str, Mapping[str, object]], None]


@dataclass(eq=False)
class Node:
    """One machine. `lost`: why it is gone, as a sentence, or "".

    `send` puts a message into its stream, which ends after "lost" or "removed".

    `doing`: what it does for a load, "" if nothing.
    """

    facts: NodeFacts
    send: Callable[[Message], None]
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    seen: float = field(default_factory=time.monotonic)
    free_bytes: int = 0
    doing: str = ""
    lost: str = ""

    @property
    def name(self) -> str:
        """The name, which no other joined machine has."""
        return self.facts.name

    @property
    def silent(self) -> bool:
        """True if it has sent no sign of life for too long."""
        return time.monotonic() - self.seen > LOST_SECONDS


class NodeRegistry:
    """All machines that have joined, also those that were lost since. Thread-safe."""

    def __init__(self, own: Callable[[], NodeFacts]) -> None:
        self._own = own
        self._lock = threading.Lock()
        self._nodes: list[Node] = []
        self.reports: Listeners[OnReport] = Listeners()
        # Callbacks for each change that the page shows.
        self.changes: Listeners[Callable[[], None]] = Listeners()

    @property
    def nodes(self) -> list[Node]:
        """All machines, in the order in which they joined."""
        with self._lock:
            return list(self._nodes)

    @property
    def joined(self) -> list[Node]:
        """The machines that can be used."""
        return [node for node in self.nodes if not node.lost]

    def own_facts(self) -> NodeFacts:
        """Return the facts of this machine."""
        return self._own()

    def join(self, facts: NodeFacts, send: Callable[[Message], None]) -> Node:
        """Add a machine. One that joins again, after its power failed or its network was gone, replaces its entry.

        Raises NodeRefused.
        """
        if reason := why_refused(facts, self._own()):
            raise NodeRefused(reason)
        node = Node(facts, send, free_bytes=facts.free_bytes)
        with self._lock:
            before = next((one for one in self._nodes if one.name == facts.name), None)
            if before and not before.lost and before.facts.address != facts.address:
                raise NodeRefused(
                    f"Another machine ({before.facts.address}) has joined as {facts.name}. Choose another name: "
                    "node join ADDRESS --name NAME"
                )
            self._nodes = [*(one for one in self._nodes if one is not before), node]
        if before:
            self._lose(before, f"The node {before.name} joined again.")
        self.changes.notify()
        return node

    def find(self, id: str) -> Node:
        """Return the machine with this id. Raise NodeRefused if it is not joined any more."""
        sent = id.encode("utf-8", "replace")
        found = next((node for node in self.joined if secrets.compare_digest(node.id.encode(), sent)), None)
        if found is None:
            raise NodeRefused("This node is not joined any more. Join again.")
        return found

    def report(self, id: str, message: Mapping[str, object]) -> None:
        """Take a node's sign of life, with what it says of a load. Raise NodeRefused if it is not joined."""
        node = self.find(id)
        if message.get("leaves") is True:
            again = "Let it join again, or load the model again without it."
            self.leave(node, f"The node {node.name} ({node.facts.address}) was ended by its user. {again}")
            return
        node.seen = time.monotonic()
        if isinstance(free := message.get("free_bytes"), int):
            node.free_bytes = free
        load = message.get("load")
        if isinstance(load, str) and load:
            node.doing = str(message.get("text", ""))[:500]
            self.reports.notify(node, load, message)
            self.changes.notify()

    def leave(self, node: Node, why: str = "") -> None:
        """Mark a machine as lost because its connection ended. `why`: a sentence."""
        self._lose(
            node,
            why
            or f"The node {node.name} ({node.facts.address}) is gone: its connection to this host ended. Start it "
            "there again with node join, or load the model again without it.",
        )

    def lose_silent(self, node: Node) -> None:
        """Mark a machine as lost that has sent no sign of life for too long."""
        self._lose(
            node,
            f"The node {node.name} ({node.facts.address}) has not answered for {LOST_SECONDS:g} seconds. Look whether "
            "it runs and whether its network works, or load the model again without it.",
        )

    def remove(self, name: str) -> None:
        """Remove a machine, which then ends. Raise PaddockError if there is none with this name."""
        node = next((one for one in self.nodes if one.name == name), None)
        if node is None:
            names = ", ".join(one.name for one in self.nodes) or "none"
            raise PaddockError(f"There is no node named {name[:100]!r}. The nodes are: {names}.")
        why = f"The node {name} was removed. Load the model again without it."
        self._lose(node, why, {"type": "removed", "text": "The host removed this node."})
        with self._lock:
            self._nodes = [one for one in self._nodes if one is not node]
        self.changes.notify()

    def _lose(self, node: Node, why: str, last: Message | None = None) -> None:
        with self._lock:
            if node.lost:
                return
            # Before the last message, at which the node ends its connection: that would be another reason.
            node.lost, node.doing = why, ""
        node.send(last or {"type": "lost"})
        self.reports.notify(node, "", {"state": "lost", "text": why})
        self.changes.notify()


def describe_node(node: Node) -> dict[str, object]:
    """Return a machine as plain JSON values, for the page, the API and the command line."""
    return {
        "name": node.name,
        "address": node.facts.address,
        "facts": dataclasses.replace(node.facts, free_bytes=node.free_bytes).describe(),
        "cards": list(node.facts.cards),
        "free_bytes": node.free_bytes,
        "health": "lost" if node.lost else "joined",
        "doing": node.doing,
        "problem": node.lost,
    }
