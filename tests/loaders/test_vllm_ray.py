"""A Ray cluster of two machines, in two network namespaces, with a stand-in for vLLM's engine, which needs cards."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from tempfile import TemporaryDirectory

import psutil
import pytest

from loaders.vllm.ray_cluster import ray_command
from modules.protocol.node_placement import NodePlacement
from modules.runtime.process_tree import kill_process_tree
from tests.conftest import ROOT
from tests.support.clients import client_python
from tests.support.long_tests import takes_minutes
from tests.support.namespaces import Namespace, Process, two_namespaces, why_no_namespaces

pytestmark = pytest.mark.slow

PORT = 6399
# Starts a member as the worker does. The head then places parts as vllm/v1/executor/ray_utils.py does, one card each.
_MEMBER = """
import json, os, sys
from loaders.vllm.ray_cluster import RayMember, join_cluster
from modules.protocol.node_placement import read_placement
placement = read_placement(os.environ)
member = RayMember(placement, int(sys.argv[1]), lambda: os._exit(3))
print("member", flush=True)
if placement.rank == 0:
    join_cluster(placement)
    import ray
    parts = placement.count * int(sys.argv[1])
    group = ray.util.placement_group([{"GPU": 1.0}] * parts, strategy="PACK")
    ray.get(group.ready(), timeout=120)

    @ray.remote(num_cpus=0, num_gpus=1)
    def place():
        return ray.util.get_node_ip_address()

    where = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
    found = [place.options(scheduling_strategy=where(group, placement_group_bundle_index=at)) for at in range(parts)]
    print("placed", json.dumps(sorted(ray.get([one.remote() for one in found]))), flush=True)
sys.stdin.readline()
member.close()
"""


def _placement(rank: int) -> NodePlacement:
    return NodePlacement(rank, 2, "10.0.0.1", PORT, f"10.0.0.{rank + 1}", "eth0")


def test_the_commands_name_head_address_and_cards() -> None:
    head, member = (ray_command(_placement(rank), 4, "/tmp/x") for rank in (0, 1))
    both = {"start", "--block", "--num-gpus=4", "--temp-dir=/tmp/x"}
    assert both | {"--head", f"--port={PORT}", "--node-ip-address=10.0.0.1"} <= set(head)
    assert both | {f"--address=10.0.0.1:{PORT}", "--node-ip-address=10.0.0.2"} <= set(member)
    assert "--head" not in member and f"--address=10.0.0.1:{PORT}" not in head


@pytest.fixture
def machines() -> Iterator[tuple[Namespace, Namespace]]:
    """Return two namespaces, if they are permitted."""
    if reason := why_no_namespaces():
        pytest.skip(reason)
    with two_namespaces() as both:
        yield both


@takes_minutes
def test_parts_are_placed_on_both_machines_and_nothing_stays_of_a_killed_member(
    machines: tuple[Namespace, Namespace],
) -> None:
    version = next(line for line in (ROOT / "loaders/vllm/requirements-cuda.in").read_text().split() if "ray==" in line)
    python = str(client_python("ray", [version]))
    members: list[Process] = []
    with contextlib.ExitStack() as stack:
        for rank, place in enumerate(machines):
            # A worker's folder has such a name, and a path that is longer than some sockets' allows none in it.
            folder = stack.enter_context(TemporaryDirectory(prefix="paddock-worker-", ignore_cleanup_errors=True))
            placement = NodePlacement(rank, 2, machines[0].address, PORT, place.address, "cable0")
            member = Process(place, "-c", _MEMBER, "2", python=python, **placement.variables(), TMPDIR=folder)
            stack.callback(member.kill)
            members.append(member)
        members[0].wait_for("placed")
        (line,) = [line for line in members[0].lines if line.startswith("placed")]
        assert json.loads(line.removeprefix("placed ")) == sorted([one.address for one in machines] * 2)
        sessions = {member.process.pid for member in members}
        started = _of_sessions(sessions)
        assert len(started) > 4
        for member in members:
            kill_process_tree(member.process.pid)
            member.kill()
        psutil.wait_procs(started, timeout=20)
        assert not _of_sessions(sessions)


def _of_sessions(sessions: set[int]) -> list[psutil.Process]:
    """Return the processes of these sessions that run."""
    found = []
    for one in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(one.pid) in sessions and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one)
    return found
