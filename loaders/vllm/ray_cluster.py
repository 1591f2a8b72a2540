"""A Ray cluster for one model: the host's machine is its head, and each node a member (Ray 2.60.0).

Each member runs `ray start --block` and ends with the worker that started it. It offers as many cards as the machine
has parts of the model, so that Ray can place them in one way only.
"""

from __future__ import annotations

import importlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules.protocol.errors import PaddockError
from modules.protocol.node_placement import NodePlacement

# How long a member waits for the head, and the head for all members.
_CLUSTER_SECONDS = 180.0
_LOOK_SECONDS = 0.5
_STARTED = "Ray runtime started"


def ray_command(placement: NodePlacement, cards: int, folder: str) -> list[str]:
    """Return the command that starts this machine's member. `folder`: for its files; its sockets need a short path."""
    address = f"{placement.master_address}:{placement.master_port}"
    where = ["--head", f"--port={placement.master_port}", "--include-dashboard=false", "--disable-usage-stats"]
    return [
        *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
        *([f"--address={address}"] if placement.rank else where),
        f"--node-ip-address={placement.address}",
        f"--num-gpus={cards}",
        f"--temp-dir={folder}",
    ]


class RayMember:
    """This machine's member. Its construction returns once it runs. When it ends, `on_end` is called."""

    def __init__(self, placement: NodePlacement, cards: int, on_end: Callable[[], None]) -> None:
        if placement.rank:
            _wait_for_port(placement)
        folder = Path(tempfile.gettempdir(), "ray")
        folder.mkdir(exist_ok=True)
        self._on_end = on_end
        self._closing = False
        self._started = threading.Event()
        self._running = False
        self._last: list[str] = []
        self._process = subprocess.Popen(
            ray_command(placement, cards, str(folder)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        threading.Thread(target=self._read, name="ray", daemon=True).start()
        self._started.wait()
        if not self._running:
            raise PaddockError(
                "Ray did not start on this machine. The details say why. Load again, or set Executor to auto.",
                detail="".join(self._last),
            )

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._last = [*self._last[-60:], line]
            sys.stderr.write(line)
            if _STARTED in line:
                self._running = True
                self._started.set()
        self._process.wait()
        self._started.set()
        if self._running and not self._closing:
            self._on_end()

    def close(self) -> None:
        """End the member, with all that Ray started on this machine."""
        self._closing = True
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()


def join_cluster(placement: NodePlacement) -> None:
    """Connect this process to the cluster once all machines are its members. Raise PaddockError after some minutes."""
    ray: Any = importlib.import_module("ray")
    os.environ["RAY_ADDRESS"] = f"{placement.master_address}:{placement.master_port}"
    ray.init(address=os.environ["RAY_ADDRESS"], log_to_driver=True, ignore_reinit_error=True)
    until = time.monotonic() + _CLUSTER_SECONDS
    while (alive := sum(bool(node["Alive"]) for node in ray.nodes())) < placement.count:
        if time.monotonic() > until:
            raise PaddockError(
                f"{placement.count - alive} of {placement.count} machines did not become members of the Ray cluster. "
                "Let the firewall allow all TCP ports between the machines, then load again."
            )
        time.sleep(_LOOK_SECONDS)


def _wait_for_port(placement: NodePlacement) -> None:
    """Wait until the head listens. Raise PaddockError after some minutes."""
    until = time.monotonic() + _CLUSTER_SECONDS
    while True:
        try:
            with socket.create_connection((placement.master_address, placement.master_port), _LOOK_SECONDS):
                return
        except OSError:
            if time.monotonic() > until:
                raise PaddockError(
                    f"The head of the Ray cluster does not answer at {placement.master_address}. Load again."
                ) from None
            time.sleep(_LOOK_SECONDS)
