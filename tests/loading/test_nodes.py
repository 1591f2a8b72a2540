"""Machines that join: what they say of themselves, why they are refused, how they are lost, and their parts."""

from __future__ import annotations

import dataclasses
import errno
import json
import math
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from loaders.vllm.engine_args import engine_arguments
from loaders.vllm.nodes import lost_node_error, node_arguments, node_variables
from loaders.vllm.spec import SPEC, Settings
from modules.loading.memory_planner import part_of
from modules.loading.nodes import registry as registry_module
from modules.loading.nodes.host_connection import HostConnection, HostGone
from modules.loading.nodes.model_copy import copy_model, remove_leftovers
from modules.loading.nodes.model_files import check_copy, difference, list_model_files, read_file_list, served_file
from modules.loading.nodes.network import address_of, interface_of, open_port, reaches
from modules.loading.nodes.node_facts import NodeFacts, NodeRefused, read_facts, why_refused
from modules.loading.nodes.registry import Node, NodeRegistry, describe_node
from modules.protocol.errors import PaddockError, PromptError, SettingError
from modules.protocol.model_facts import ModelFacts
from modules.protocol.node_placement import NodePlacement, read_placement
from tests.conftest import ROOT
from tests.support.models import write_model_folder
from tests.support.strange_server import strange

HOST = NodeFacts("host", environments={"vllm": "vllm-1"}, address="10.0.0.1", host_address="10.0.0.1", clock=1000.0)
NODE = dataclasses.replace(HOST, name="node", address="10.0.0.2")
MODEL = ModelFacts("m", "m", "safetensors", layers=4, heads=8)
PLACEMENT = NodePlacement(1, 2, "10.0.0.1", 29501, "10.0.0.2", "eth0")


def _joined(**changes: Any) -> tuple[NodeRegistry, Node, list[dict[str, Any]]]:
    registry, sent = NodeRegistry(lambda: HOST), list[dict[str, Any]]()
    return registry, registry.join(dataclasses.replace(NODE, **changes), sent.append), sent


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": "0.0.1"}, "has Paddock 0.0.1"),
        ({"protocol": 99}, "Install the same version on both"),
        ({"clock": 1090.0}, "clock of node is 90 seconds ahead of"),
        ({"clock": 1000.0 - 7500}, "2.1 hours behind"),
        ({"clock": 1000.0 - 86400 * 20_000}, r"20,000 days behind this host's\. Set the clocks"),
        ({"environments": {}}, "install vllm"),
        ({"environments": {"vllm": "vllm-2"}}, "vllm-2.*vllm-1.*same version"),
        ({"address": ""}, "did not say its address"),
        ({"address": "fe80::1"}, "IPv4"),
    ],
)
def test_a_node_that_does_not_fit_is_refused_with_a_next_step(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(NodeRefused, match=words):
        _joined(**changes)
    assert why_refused(dataclasses.replace(NODE, clock=1050.0), HOST) == ""


def test_facts_cross_as_json_and_wrong_ones_are_refused() -> None:
    facts = dataclasses.replace(NODE, cards=("A", "A", "B"), card_bytes=48 * 10**9, free_bytes=8 * 10**9)
    body = json.loads(json.dumps(vars(facts)))
    assert read_facts({**body, "new": 1}) == facts
    assert facts.describe() == "2 × A, 1 × B (48.0 GB), 8.0 GB of main memory free"
    for wrong in (
        {"name": ""},
        {"name": 1},
        {"clock": "x"},
        {"clock": math.nan},
        {"clock": -math.inf},
        {"clock": 10**400},
        {"cards": "A"},
        {"cards": [1]},
        {"environments": [1]},
    ):
        with pytest.raises(SettingError, match="node join"):
            read_facts({**body, **wrong})


def test_a_node_is_known_until_it_is_lost_and_then_listed_with_the_reason() -> None:
    registry, node, _ = _joined()
    heard: list[tuple[str, str, str]] = []
    registry.reports.add(lambda node, load, message: heard.append((node.name, load, str(message["state"]))))
    registry.report(node.id, {"load": "x", "state": "loading", "text": "Loading", "free_bytes": 5})
    assert (describe_node(node)["doing"], node.free_bytes) == ("Loading", 5)
    registry.leave(node)
    assert heard == [("node", "x", "loading"), ("node", "", "lost")]
    assert registry.joined == [] and "connection to this host ended" in str(describe_node(node)["problem"])
    with pytest.raises(NodeRefused, match="not joined any more"):
        registry.report(node.id, {})
    with pytest.raises(NodeRefused, match="not joined any more"):
        registry.report("\udc80", {})


def test_a_node_that_says_nothing_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, node, _ = _joined()
    assert not node.silent
    monkeypatch.setattr(registry_module, "LOST_SECONDS", -1.0)
    assert node.silent
    registry.lose_silent(node)
    assert "has not answered" in node.lost and "10.0.0.2" in node.lost


def test_a_node_that_joins_again_replaces_itself_and_another_one_needs_another_name() -> None:
    registry, first, _ = _joined()
    second = registry.join(NODE, lambda message: None)
    assert registry.nodes == [second] and first.lost
    with pytest.raises(NodeRefused, match="--name"):
        registry.join(dataclasses.replace(NODE, address="10.0.0.3"), lambda message: None)


def test_a_removed_node_is_told_and_gone() -> None:
    registry, node, sent = _joined()
    with pytest.raises(PaddockError, match="The nodes are: node"):
        registry.remove("other")
    registry.remove("node")
    assert [message["type"] for message in sent] == ["removed"] and registry.nodes == [] and node.lost


def test_a_node_that_hears_of_its_removal_and_ends_at_once_keeps_the_reason() -> None:
    registry = NodeRegistry(lambda: HOST)
    node = registry.join(NODE, lambda message: registry.leave(node))
    registry.remove("node")
    assert "was removed" in node.lost


def test_the_parts_follow_from_the_cards() -> None:
    assert SPEC.over_nodes

    def spread(cards: list[int], facts: ModelFacts = MODEL, **settings: Any) -> Any:
        assert SPEC.over_nodes
        found = SPEC.over_nodes(facts, Settings(**{"nodes": "auto", **settings}), cards)
        return found and (found["tensor_parallel"], found["pipeline_parallel"], found["executor"])

    assert spread([0]) == (1, 1, "auto")
    assert spread([3]) == (2, 1, "auto")
    assert spread([0, 0]) == (2, 1, "mp")
    assert spread([1, 0, 4, 0]) == (4, 1, "mp")
    assert spread([4, 4]) == (4, 2, "mp")
    assert spread([4, 3]) == (2, 2, "mp")
    assert spread([4, 2], nodes="tensor") == (4, 1, "mp")
    assert spread([4, 2], nodes="off") is None
    assert spread([4, 2], executor="ray") == (2, 2, "ray")
    assert spread([4, 2], executor="ray", ray_address="10.0.0.1:6379") is None
    refused: list[tuple[list[int], dict[str, Any], str]] = [
        ([0, 0, 0], {}, "8 attention heads of m cannot be divided over 3 machines"),
        ([0, 0], {"nodes": "pipeline"}, "no pipeline parallelism"),
        ([2, 0], {"executor": "ray"}, "uses Ray only where"),
        ([2] * 3, {"nodes": "tensor"}, "cannot be divided"),
        ([1] * 5, {}, "has 4 layers, which 5 machines cannot share"),
    ]
    for cards, settings, words in refused:
        with pytest.raises(SettingError, match=words):
            spread(cards, **settings)


def test_this_machine_plans_its_own_part() -> None:
    facts = dataclasses.replace(MODEL, size_bytes=100, layer_bytes=80, parameters=50, layer_parameters=40)
    part = part_of(facts, 2)
    assert (part.size_bytes, part.layer_bytes, part.parameters, part.layers) == (60, 40, 30, 2)
    assert part_of(dataclasses.replace(facts, layer_bytes=0), 4).size_bytes == 25


def test_vllm_gets_its_place_among_the_machines() -> None:
    assert read_placement(PLACEMENT.variables()) == PLACEMENT
    assert read_placement({}) is None
    arguments = engine_arguments(Path("m"), Settings(tensor_parallel=2, executor="mp"), {}, 64, cpu=True)
    arguments.update(node_arguments(PLACEMENT))
    names = (
        "distributed_executor_backend",
        "nnodes",
        "node_rank",
        "master_addr",
        "master_port",
        "tensor_parallel_size",
    )
    assert [arguments[name] for name in names] == ["mp", 2, 1, "10.0.0.1", 29501, 2]
    variables = node_variables(PLACEMENT, {"GLOO_SOCKET_IFNAME": "wlan0"})
    assert variables["VLLM_HOST_IP"] == "10.0.0.2" and variables["NCCL_SOCKET_IFNAME"] == "eth0"
    assert "GLOO_SOCKET_IFNAME" not in variables


def test_a_failed_step_waits_for_the_host_only_where_other_machines_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.vllm.nodes._HOST_SECONDS", 0.0)
    assert lost_node_error(RuntimeError("x"), None) is None
    assert lost_node_error(ValueError("x"), PLACEMENT) is None
    assert lost_node_error(PromptError("x"), PLACEMENT) is None
    error = lost_node_error(RuntimeError("Worker failed"), PLACEMENT)
    assert error and "load the model again" in error.message and error.detail == "Worker failed"


def test_two_folders_are_compared_by_names_sizes_and_contents(tmp_path: Path) -> None:
    here, there = (write_model_folder(tmp_path / name / "m") for name in ("here", "there"))
    (here / "README.md").write_text("only here")
    (there / ".hidden").write_text("not compared")
    files = read_file_list(json.loads(json.dumps(list_model_files(there))))
    assert difference(list_model_files(here), files) == ""
    check_copy(here, files, "m")
    (here / "config.json").write_text((here / "config.json").read_text().replace("128", "129"))
    with pytest.raises(PaddockError, match=r"first in config\.json.*Rename or delete"):
        check_copy(here, files, "m")
    large = bytes(40 << 20)
    (here / "large.bin").write_bytes(large)
    (there / "large.bin").write_bytes(large[: 20 << 20] + b"\1" * (20 << 20))
    (here / "config.json").write_bytes((there / "config.json").read_bytes())
    assert difference(list_model_files(here), list_model_files(there)) == "large.bin"
    wrong_lists: list[object] = [{}, ["x"], [["x", "1", ""]]]
    for wrong in wrong_lists:
        with pytest.raises(SettingError, match="same version"):
            read_file_list(wrong)


def test_only_files_of_the_model_are_sent(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "m")
    (folder / ".secret").write_text("x")
    (tmp_path / "outside").write_text("x")
    assert served_file(folder, "config.json") == folder / "config.json"
    for name in ("../outside", "/etc/passwd", ".secret", "absent", "", "x/../config.json"):
        with pytest.raises(PaddockError):
            served_file(folder, name)


class _Host:
    """A host that sends each file in two pieces. `between` is called between them."""

    def __init__(self, folder: Path, between: Callable[[], object]) -> None:
        self.folder = folder
        self.between = between

    def fetch(self, node: str, model: str, name: str, target: Path) -> Iterator[int]:
        content = (self.folder / name).read_bytes()
        yield 0
        self.between()
        yield target.write_bytes(content)


def _copy(models: Path, folder: Path, between: Callable[[], object], stopped: bool = False) -> None:
    host: Any = _Host(folder, between)
    copy_model(host, "id", models, "a/m", list_model_files(folder), lambda text: None, lambda: stopped)


def test_a_copy_in_progress_is_left_alone_and_what_a_killed_one_left_is_removed(tmp_path: Path) -> None:
    folder, models = write_model_folder(tmp_path / "m"), tmp_path / "models"
    kept: list[list[str]] = []
    _copy(models, folder, lambda: kept.append(remove_leftovers(models)))
    assert kept and not any(kept) and (models / "a" / "m" / "config.json").is_file()
    with pytest.raises(PaddockError, match="was cancelled"):
        _copy(tmp_path / "other", folder, lambda: None, stopped=True)
    assert not list((tmp_path / "other").iterdir())

    holder = (
        "import pathlib, sys; from modules.files.staging_locks import locked_folder\n"
        "with locked_folder(pathlib.Path(sys.argv[1]) / '.node-b') as lock:\n"
        "    (pathlib.Path(sys.argv[1]) / '.node-b').mkdir(); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holder, str(models)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        assert remove_leftovers(models) == []
        process.kill()
    assert remove_leftovers(models) == [".node-b"]
    assert [path.name for path in models.iterdir()] == ["a"]


def test_a_second_copy_of_the_same_model_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modules.loading.nodes.model_copy._EARLIER_SECONDS", 0.0)
    folder, models = write_model_folder(tmp_path / "m"), tmp_path / "models"
    with pytest.raises(PaddockError, match="Another Paddock on the node copies a/m"):
        _copy(models, folder, lambda: _copy(models, folder, lambda: None))
    assert not [path for path in models.rglob("*") if path.is_file()]


def test_a_disk_that_fills_up_leaves_nothing_of_the_copy_and_names_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, models = write_model_folder(tmp_path / "m"), tmp_path / "models"

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(PaddockError, match=r"to the node \(No space left on device\)\. Check the node's disk"):
        _copy(models, folder, full)
    assert not [path for path in models.rglob("*") if path.is_file() or path.name.startswith(".")]
    # The same words reach the person at the host, to whom "this machine" would be the host.
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr("modules.loading.nodes.model_copy.shutil.disk_usage", lambda path: usage)
    with pytest.raises(PaddockError, match=r"10 bytes are free in the node's models folder\. Free some disk space"):
        _copy(models, folder, lambda: None)
    monkeypatch.undo()
    _copy(models, folder, lambda: None)
    assert (models / "a" / "m" / "config.json").is_file()


def test_interfaces_and_ports_are_found() -> None:
    name = interface_of("127.0.0.1")
    assert name and address_of(name) == "127.0.0.1" and interface_of("192.0.2.1") == ""
    with pytest.raises(PaddockError, match="Those that have"):
        address_of("none0")
    with open_port("127.0.0.1") as port:
        assert reaches("127.0.0.1", port)
    with _closed_port() as port:
        assert not reaches("127.0.0.1", port)


@contextmanager
def _closed_port() -> Iterator[int]:
    """Yield a port that refuses connections, and that nobody else can open."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


def test_an_address_is_a_name_with_or_without_a_port_or_a_url() -> None:
    for given, address in (
        ("10.0.0.1", "http://10.0.0.1:7860"),
        ("box:80", "http://box:80"),
        ("https://box/chat/", "https://box:443/chat"),
        ("http://[::1]:81", "http://[::1]:81"),
    ):
        assert HostConnection(given, "").address == address
    assert HostConnection(" 10.0.0.1 ", "").address == "http://10.0.0.1:7860"
    # Two dots in a row, a name that is too long, and a character that no name has.
    for wrong in ("", "http://", "ftp://box", "box:port", "192..168.0.5", "a" * 70, "bo\0x", "[::1"):
        with pytest.raises(PaddockError, match="not the address of a host"):
            HostConnection(wrong, "")
    with _closed_port() as port:
        host = HostConnection(f"127.0.0.1:{port}", "")
        with pytest.raises(HostGone, match="--admin-key-file"):
            host.ends()
        with pytest.raises(HostGone, match="--admin-key-file"):
            host.ask("GET", "")


def test_a_firewall_that_drops_packets_is_named_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    def drop(address: object, timeout: float) -> None:
        assert 0 < timeout <= 10
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", drop)
    with pytest.raises(HostGone, match=r"\(timed out\).*let its firewall admit this machine"):
        HostConnection("192.0.2.1", "").ends()
    assert not reaches("192.0.2.1", 5000)


@pytest.mark.parametrize("line", ["5", "[]", "null", "<html>", "[" * 100_000])
def test_another_program_at_the_hosts_address_is_no_host(line: str) -> None:
    path = "/paddock/models/nodes"
    answers: dict[str, Any] = dict.fromkeys(
        (path, f"{path}/join"), lambda request: request.send(line, kind="text/html")
    )
    with strange(answers) as server:
        connection = HostConnection(server.address, "key")
        with pytest.raises(HostGone, match="ended.*Look whether Paddock runs there"):
            list(connection.join(NODE))
        if line.startswith("<"):
            with pytest.raises(HostGone, match="is no Paddock"):
                connection.ask("GET", "")
        connection.close()
