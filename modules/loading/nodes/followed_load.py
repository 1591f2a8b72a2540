"""This machine's part of one model that a host loads over several machines."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modules.library.scan import ModelLibrary
from modules.loading.model_consents import ModelConsents
from modules.loading.nodes.host_connection import HostConnection
from modules.loading.nodes.model_copy import copy_model
from modules.loading.nodes.model_files import check_copy, read_file_list
from modules.loading.nodes.network import firewall_sentence, interface_of, open_port, reaches
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.model_facts import ModelFacts
from modules.protocol.node_placement import NodePlacement
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.runtime.sandbox_paths import sandbox_variables
from modules.runtime.worker_client import WorkerClient
from modules.runtime.worker_exit import WorkerExit
from modules.system.threads import host_thread


@dataclass(frozen=True)
class NodeResources:
    """What a machine needs to hold a part of a model. `folders`: what its workers may read and write."""

    root: Path
    models: Path
    registry: Registry
    environments: Environments
    library: ModelLibrary
    consents: ModelConsents
    folders: tuple[Sequence[Path], Sequence[Path]]


class FollowedLoad:
    """One part, from the host's message `follow` to `stop`. `report`: sends values to the host."""

    def __init__(
        self,
        host: HostConnection,
        node: str,
        resources: NodeResources,
        message: Mapping[str, object],
        report: Callable[..., None],
        say: Callable[[str], None],
    ) -> None:
        self.id = str(message.get("load"))
        self._host = host
        self._node = node
        self._resources = resources
        self._message = message
        self._send = report
        self._say = say
        self._lock = threading.Lock()
        self._stopped = False
        self._all_ready = threading.Event()
        self._client: WorkerClient | None = None

    def start(self) -> None:
        """Begin on a new thread. What happens is reported to the host."""
        host_thread("follow", self._run, "Following the host's load", self._failed).start()

    def go(self) -> None:
        """Load the part, since all machines are ready."""
        self._all_ready.set()

    def stop(self) -> None:
        """End the part; blocking."""
        with self._lock:
            self._stopped, client = True, self._client
        self._all_ready.set()
        if client:
            client.stop()
            self._say("The part of the model is unloaded.")

    def _run(self) -> None:
        message = self._message
        name = str(message.get("model"))
        self._report("working", f"Comparing the files of {name}")
        spec = self._resources.registry.get(str(message.get("loader")))
        if spec.over_nodes is None:
            raise SettingError(f"{spec.title} does not spread models over machines. Choose vLLM.")
        facts = self._find_model(name)
        self._resources.consents.check(facts)
        placement = self._placement()
        if not reaches(placement.master_address, placement.master_port):
            raise PaddockError(firewall_sentence("This node", "the host", placement.master_address))
        self._report("working", f"Starting {spec.title}")
        client = WorkerClient(
            spec,
            self._resources.environments.python(spec),
            self._resources.root,
            self._worker_ended,
            lambda event: None,
            **sandbox_variables(Path(facts.path), *self._resources.folders),
            **self._resources.consents.variables(facts, spec),
            **placement.variables(),
        )
        with self._lock:
            self._client = client
            stopped = self._stopped
        if stopped:
            client.stop()
            return
        client.start()
        settings, purpose = message.get("settings"), str(message.get("purpose"))
        with open_port(placement.address) as port:
            self._report("ready", f"Ready to load its part of {name}", port=port)
            self._all_ready.wait()
            if self._stopped:
                return
            self._report("loading", f"Loading its part of {name}")
            client.load(facts.path, settings if isinstance(settings, dict) else {}, self._progress, (), purpose)
        self._report("loaded", f"Holds a part of {name}")
        self._say(f"Holds a part of {name}: machine {placement.rank + 1} of {placement.count}.")

    def _find_model(self, name: str) -> ModelFacts:
        """Return the model's facts on this machine, copied from the host if it is missing. Raise PaddockError."""
        files = read_file_list(self._message.get("files"))
        library, models = self._resources.library, self._resources.models
        if name not in library.names():
            self._say(f"Copying {name} from the host.")
            copy_model(
                self._host,
                self._node,
                models,
                name,
                files,
                lambda text: self._report("working", text),
                lambda: self._stopped,
            )
        facts = library.facts(name)
        check_copy(Path(facts.path), files, name)
        return facts

    def _placement(self) -> NodePlacement:
        try:
            values = self._message["placement"]
            if not isinstance(values, dict):
                raise TypeError
            placement = NodePlacement(**values)
        except (KeyError, TypeError):
            raise SettingError("The host sent no placement. Install the same version on both machines.") from None
        return dataclasses.replace(placement, interface=interface_of(placement.address))

    def _progress(self, text: str, fraction: float | None) -> None:
        self._report("loading", text)

    def _report(self, state: str, text: str, **values: object) -> None:
        if not self._stopped:
            self._send(load=self.id, state=state, text=text, **values)

    def _failed(self, error: PaddockError) -> None:
        if not self._stopped:
            self._say(error.message)
        self._report("failed", error.message)
        self.stop()

    def _worker_ended(self, exit: WorkerExit) -> None:
        if exit.cause != "unloaded":
            self._say(exit.sentence)
            self._report("failed", exit.sentence)
