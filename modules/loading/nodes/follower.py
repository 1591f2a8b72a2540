"""A joined machine: holds its part of the models that the host loads, until it is removed or stopped."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from modules.loading.nodes.followed_load import FollowedLoad, NodeResources
from modules.loading.nodes.host_connection import HostConnection, HostGone
from modules.loading.nodes.model_copy import remove_leftovers
from modules.loading.nodes.node_facts import NodeFacts, NodeRefused
from modules.loading.nodes.registry import BEAT_SECONDS
from modules.protocol.errors import PaddockError
from modules.system.threads import host_thread

# How long a node waits before it joins again a host that is gone.
_AGAIN_SECONDS = 5.0


@dataclass
class _Joined:
    """One connection: the node's id, and what it does now."""

    id: str = ""
    load: FollowedLoad | None = None


class NodeFollower:
    """Runs on the machine that joins. `facts`: returns its facts. `say`: shows a sentence to the person there."""

    def __init__(
        self,
        host: HostConnection,
        resources: NodeResources,
        facts: Callable[[], NodeFacts],
        free_bytes: Callable[[], int],
        say: Callable[[str], None],
    ) -> None:
        self._host = host
        self._resources = resources
        self._facts = facts
        self._free_bytes = free_bytes
        self._say = say
        self._joined = _Joined()
        self._end = threading.Event()

    def run(self) -> None:
        """Join, and serve until `stop`, or until the host removes this node. Joins again when the host was gone.

        Removes what killed nodes left of their copies first.

        Raises NodeRefused, and HostGone if the host does not answer at first.
        """
        remove_leftovers(self._resources.models)
        host_thread("node signs of life", self._beat, "Sending signs of life to the host").start()
        was_joined = False
        while not self._end.is_set():
            try:
                for message in self._host.join(self._facts()):
                    was_joined = True
                    self._handle(message)
            except HostGone as error:
                if not was_joined:
                    raise
                self._joined.id = ""
                if self._end.is_set():
                    return
                self._say(f"{error.message} Trying again every {_AGAIN_SECONDS:g} seconds.")
                self._stop_load()
            self._end.wait(_AGAIN_SECONDS)

    def stop(self) -> None:
        """Tell the host that this node leaves, then end its part of a model, and the connection."""
        self._end.set()
        if self._joined.id:
            self._report(leaves=True)
        self._stop_load()
        self._host.close()

    def _handle(self, message: Mapping[str, object]) -> None:
        kind = message.get("type")
        if kind == "joined":
            self._joined.id = str(message.get("node"))
            self._say(f"Joined {self._host.address} as {message.get('name')}. Press Ctrl+C to leave.")
        elif kind == "follow":
            if before := self._joined.load:
                self._stop_load()
                self._report(load=before.id, state="failed", text="Another model is loaded over the machines.")
            load = FollowedLoad(self._host, self._joined.id, self._resources, message, self._report, self._say)
            self._joined.load = load
            load.start()
        elif kind == "go":
            if self._joined.load and self._joined.load.id == message.get("load"):
                self._joined.load.go()
        elif kind == "stop":
            if self._joined.load and self._joined.load.id == message.get("load"):
                self._stop_load()
            self._report(load=message.get("load"), state="stopped", text="")
        elif kind == "removed":
            self._end.set()
            raise NodeRefused(str(message.get("text")))

    def _stop_load(self) -> None:
        load, self._joined.load = self._joined.load, None
        if load:
            load.stop()

    def _report(self, **values: object) -> None:
        # The stream ends too if the host is gone, which says so.
        with contextlib.suppress(PaddockError):
            self._host.report({"node": self._joined.id, "free_bytes": self._free_bytes(), **values})

    def _beat(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            if self._joined.id:
                self._report()
