"""Spread a model over machines: vLLM's own mode for several nodes (vllm/config/parallel.py, 0.32.0), or with Ray.

Each machine has a Paddock with this environment. The host's worker runs the engine and the first part of the model; a
worker on each other machine runs its part, and gets each step from the engine.
"""

from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Mapping
from typing import Any, Protocol

from loaders.vllm.engine_args import engine_config
from loaders.vllm.ray_cluster import RayMember, join_cluster
from loaders.vllm.spec import Settings
from modules.protocol.errors import PaddockError
from modules.protocol.node_placement import NodePlacement

# How long a step that failed waits for the host, which hears from the other machine itself why it ended, and then ends
# this worker with that reason.
_HOST_SECONDS = 30.0
_EXITED = 1


def node_arguments(placement: NodePlacement) -> dict[str, object]:
    """Return the arguments of EngineArgs for this machine's part."""
    return {
        "distributed_executor_backend": "mp",
        "nnodes": placement.count,
        "node_rank": placement.rank,
        "master_addr": placement.master_address,
        "master_port": placement.master_port,
    }


def node_variables(placement: NodePlacement, environ: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables for vLLM and for the libraries that connect its processes. The user's own win."""
    found = {
        "VLLM_HOST_IP": placement.address,
        "GLOO_SOCKET_IFNAME": placement.interface,
        "NCCL_SOCKET_IFNAME": placement.interface,
        "TP_SOCKET_IFNAME": placement.interface,
        # For the CPU. "auto" counts the parts of all machines against the memory nodes of this one.
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    }
    return {name: value for name, value in found.items() if name not in environ}


class Part(Protocol):
    """What a machine runs beside or in place of the engine."""

    def close(self) -> None:
        """End it."""


class Follower:
    """This machine's part of a model whose engine runs on another machine.

    Its construction returns once the part is loaded and connected. When one of its processes ends, this process does.
    """

    def __init__(self, config: Any) -> None:
        executors = importlib.import_module("vllm.v1.executor.multiproc_executor")
        self._executor = executors.MultiprocExecutor(config, monitor_workers=False)
        threading.Thread(target=self._watch, name="vllm follower", daemon=True).start()

    def _watch(self) -> None:
        self._executor.start_worker_monitor(inline=True)
        _end_process()

    def close(self) -> None:
        """End the processes."""
        self._executor.shutdown()


def start_part(placement: NodePlacement, settings: Settings, arguments: dict[str, Any]) -> Part | None:
    """Start what this machine needs for a model on several machines, and add to the arguments of its engine.

    Return what is to be closed at the end. On a machine without the engine, its part is loaded and connected then.
    """
    os.environ.update(node_variables(placement, os.environ))
    if settings.executor == "ray":
        cards = settings.tensor_parallel * settings.pipeline_parallel // placement.count
        member = RayMember(placement, cards, _end_process)
        if not placement.rank:
            join_cluster(placement)
        return member
    arguments.update(node_arguments(placement))
    return Follower(engine_config(arguments)) if placement.rank else None


def _end_process() -> None:
    os._exit(_EXITED)


def lost_node_error(error: Exception, placement: NodePlacement | None) -> PaddockError | None:
    """Return the error of a step that failed because a part on another machine may have ended, else None.

    Waits, because the host usually ends this worker first.
    """
    # Of Ray, by name, since not every environment has it.
    of_ray = any(kind.__name__ == "RayError" for kind in type(error).__mro__)
    if placement is None or not (of_ray or isinstance(error, (RuntimeError, TimeoutError))):
        return None
    threading.Event().wait(_HOST_SECONDS)
    return PaddockError(
        "A step failed in vLLM's processes on several machines. Look at the nodes on the Model tab, then load the "
        "model again.",
        detail=str(error),
    )
