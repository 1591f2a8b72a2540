"""A host and a machine that joins it, each with the echo loader as the engine, over HTTP on one machine."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.cli.node_commands import node as node_command
from modules.cli.parser import parser
from modules.loading.nodes import registry as registry_module
from modules.loading.nodes.followed_load import FollowedLoad, NodeResources
from modules.loading.nodes.follower import NodeFollower
from modules.loading.nodes.host_connection import HostConnection, HostGone
from modules.loading.nodes.node_facts import NodeFacts, NodeRefused, own_facts
from modules.loading.nodes.registry import Node
from modules.loading.worker_folders import worker_folders
from modules.protocol.errors import PaddockError
from modules.protocol.model_facts import ModelFacts
from modules.settings.config import Config
from tests.conftest import ROOMY
from tests.contract.under_test import wait_for_tokens
from tests.support.models import write_model_folder
from tests.support.server import serving

SECONDS = 60.0
KEY = "admin"


def _spread(facts: ModelFacts, settings: object, cards: Sequence[int]) -> Mapping[str, object]:
    return {"slots": len(cards)}


def _app(config: Config) -> App:
    """Return an App whose echo loader spreads models."""
    app = build_app(config)
    app.registry.specs["echo"] = dataclasses.replace(app.registry.specs["echo"], over_nodes=_spread)
    return app


class Machine:
    """A machine that joins, on threads of this process."""

    def __init__(self, host: str, folder: Path, key: str = KEY, **changes: Any) -> None:
        self.app = _app(Config(Path(__file__).parents[2], port=0, models=folder / "models", user_data=folder / "data"))
        app, self.said = self.app, list[str]()
        self.connection = HostConnection(host, key)
        resources = NodeResources(
            app.paths.root,
            app.paths.models,
            app.registry,
            app.environments,
            app.library,
            app.consents,
            worker_folders(app.paths, app.own_loaders),
        )

        def facts() -> NodeFacts:
            found = own_facts(app.registry, app.environments, app.machine, "second", self.connection.ends())
            return dataclasses.replace(found, **changes)

        self.follower = NodeFollower(self.connection, resources, facts, lambda: 5 * 2**30, self.said.append)
        self.error: PaddockError | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        try:
            self.follower.run()
        except PaddockError as error:
            self.error = error

    @property
    def load(self) -> FollowedLoad:
        """The part that it holds."""
        found = self.follower._joined.load
        assert found
        return found

    def kill_worker(self) -> None:
        """Kill the worker of its part."""
        client = self.load._client
        assert client
        os.kill(client.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End it."""
        self.follower.stop()
        self.thread.join()
        self.app.close()


@pytest.fixture
def host(config: Config) -> Iterator[tuple[App, str]]:
    """Return a host with the admin key, and its address."""
    app = _app(dataclasses.replace(config, admin_key=KEY, password="a password"))
    try:
        with serving(app) as address:
            yield app, address
    finally:
        app.close()


@contextmanager
def joined(host: tuple[App, str], folder: Path) -> Iterator[tuple[Machine, Node]]:
    """Let a machine join while the block runs."""
    app, address = host
    with changed(app) as wait:
        machine = Machine(address, folder)
        try:
            wait(lambda: bool(app.nodes.registry.joined))
            yield machine, app.nodes.registry.joined[0]
        finally:
            machine.close()


@contextmanager
def changed(app: App) -> Iterator[Any]:
    """Yield a function that waits until its argument returns true, which it asks at each change of the machines."""
    event = threading.Event()
    remove = app.nodes.registry.changes.add(event.set)

    def wait(reached: Any) -> None:
        while not reached():
            assert event.wait(SECONDS)
            event.clear()

    try:
        yield wait
    finally:
        remove()


def _loaded(app: App) -> Any:
    return app.models.load("tiny", "echo", ROOMY)


def test_a_model_is_loaded_on_both_machines_and_copied_to_the_one_without_it(
    host: tuple[App, str], tmp_path: Path
) -> None:
    app, address = host
    (tmp_path / "node" / "models" / ".node-tiny" / "killed").mkdir(parents=True)
    (tmp_path / "node" / "models" / ".node-other").mkdir()
    with joined(host, tmp_path / "node") as (machine, node), changed(app) as wait:
        assert not list((tmp_path / "node" / "models").iterdir())
        info = _loaded(app)
        assert (info.slots, info.notes) == (2, ["The model is spread over 2 machines: this one and second."])
        wait(lambda: node.doing == "Holds a part of tiny")
        there = tmp_path / "node" / "models" / "tiny"
        assert (there / "config.json").read_bytes() == (tmp_path / "models" / "tiny" / "config.json").read_bytes()
        assert [path.name for path in there.parent.iterdir()] == ["tiny"]
        with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {KEY}"}) as client:
            (row,) = client.get("/paddock/models/nodes").json()
        assert (row["name"], row["health"], row["doing"]) == ("second", "joined", node.doing)
        first = machine.load
        app.supervisor.unload()
        wait(lambda: node.doing == "")
        assert first._stopped and machine.follower._joined.load is None


def test_a_second_load_ends_the_first_one_with_a_sentence(host: tuple[App, str], tmp_path: Path) -> None:
    app, _ = host
    with joined(host, tmp_path / "node") as (_, node):
        _loaded(app)
        reply = app.supervisor.generate("!long", app.sampling.params())
        wait_for_tokens(reply, 3)
        node.send({"type": "follow", "load": "another", "model": "tiny", "loader": "echo", "files": []})
        assert reply.wait(SECONDS) and reply.error
        assert "second ended its part of the model. Another model is loaded" in reply.error.message


def _command(*words: str) -> int:
    arguments = parser().parse_args(["node", *words])
    return node_command(Config(Path(__file__).parents[2], port=0), arguments)


def test_the_commands_list_and_remove(
    host: tuple[App, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app, address = host
    key = tmp_path / "key.txt"
    key.write_text(f"{KEY}\n", encoding="utf-8-sig")  # as an editor on Windows writes it
    options = ["--key-file", str(key)]
    with joined(host, tmp_path / "node"):
        assert _command("list", address, *options) == 0
        assert "second (127.0.0.1): joined, " in capsys.readouterr().out
        assert _command("list", address, "--json", *options) == 0
        assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["second"]
        assert _command("remove", "second", address, *options) == 0
        assert not app.nodes.registry.joined
    for wrong, words in (("", "first line of .* is empty"), ("schlüssel", "refuses the key")):
        key.write_text(wrong, encoding="utf-8")
        with pytest.raises(PaddockError, match=words):
            _command("list", address, *options)


def test_a_part_that_dies_ends_the_reply_with_a_sentence_and_the_load_can_be_repeated(
    host: tuple[App, str], tmp_path: Path
) -> None:
    app, _ = host
    with joined(host, tmp_path / "node") as (machine, node), changed(app) as wait:
        _loaded(app)
        wait(lambda: node.doing == "Holds a part of tiny")
        reply = app.supervisor.generate("!long", app.sampling.params())
        wait_for_tokens(reply, 3)
        machine.kill_worker()
        assert reply.wait(SECONDS) and reply.error and reply.text
        assert "The node second ended its part of the model" in reply.error.message and "SIGKILL" in reply.error.message
        assert app.supervisor.state.phase == "failed" and not node.lost
        assert _loaded(app).slots == 2
        reply = app.supervisor.generate("!long", app.sampling.params())
        app.nodes.registry.remove("second")
        machine.thread.join(SECONDS)
        assert machine.error and "removed" in machine.error.message
        assert reply.wait(SECONDS) and reply.error and "was removed" in reply.error.message
        assert _loaded(app).notes == ["No node has joined, so the model runs on this machine alone."]


def test_a_machine_that_leaves_is_named(host: tuple[App, str], tmp_path: Path) -> None:
    app, _ = host
    with joined(host, tmp_path / "node") as (machine, node):
        _loaded(app)
        reply = app.supervisor.generate("!long", app.sampling.params())
        wait_for_tokens(reply, 3)
        machine.close()
        assert reply.wait(SECONDS) and reply.error
        assert "The node second (127.0.0.1) was ended by its user" in reply.error.message
        assert reply.error.code == "died" and node.lost == reply.error.message


def test_a_machine_that_says_nothing_is_lost(
    host: tuple[App, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, address = host
    monkeypatch.setattr("modules.ui.nodes.BEAT_SECONDS", 0.01)
    monkeypatch.setattr(registry_module, "LOST_SECONDS", 0.1)
    facts = own_facts(app.registry, app.environments, app.machine, "mute", ("127.0.0.1", "127.0.0.1"))
    kinds = [message["type"] for message in _until_the_end(HostConnection(address, KEY), facts)]
    assert kinds[:2] == ["joined", "beat"]
    assert "has not answered" in app.nodes.registry.nodes[0].lost


def test_a_machine_whose_connection_ends_is_lost(host: tuple[App, str]) -> None:
    app, address = host
    facts = own_facts(app.registry, app.environments, app.machine, "gone", ("127.0.0.1", "127.0.0.1"))
    with changed(app) as wait:
        messages = HostConnection(address, KEY).join(facts)
        assert next(messages)["type"] == "joined"
        messages.close()
        wait(lambda: not app.nodes.registry.joined)
    assert "connection to this host ended" in app.nodes.registry.nodes[0].lost


def _until_the_end(connection: HostConnection, facts: NodeFacts) -> Iterator[dict[str, Any]]:
    try:
        yield from connection.join(facts)
    except HostGone:
        return


def test_a_load_on_machines_that_cannot_reach_each_other_is_refused_and_the_host_lives(
    host: tuple[App, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, _ = host
    with joined(host, tmp_path / "node"):
        monkeypatch.setattr("modules.loading.nodes.spread.reaches", lambda address, port: False)
        with pytest.raises(PaddockError, match=r"This machine cannot open a connection to second.*firewall"):
            _loaded(app)
        monkeypatch.setattr("modules.loading.nodes.followed_load.reaches", lambda address, port: False)
        with pytest.raises(PaddockError, match=r"This node cannot open a connection to the host.*firewall"):
            _loaded(app)
        monkeypatch.undo()
        assert _loaded(app).slots == 2


def test_a_machine_with_another_model_of_that_name_is_refused(host: tuple[App, str], tmp_path: Path) -> None:
    app, _ = host
    other = write_model_folder(tmp_path / "node" / "models" / "tiny")
    (other / "config.json").write_text((other / "config.json").read_text().replace("128", "64"))
    with joined(host, tmp_path / "node"):
        with pytest.raises(PaddockError, match=r"second ended.*differs from the host's \(first in config\.json\)"):
            _loaded(app)
        assert "64" in (other / "config.json").read_text()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": "wrong"}, "refuses the key.*--key-file FILE"),
        ({"version": "0.0.1"}, "has Paddock 0.0.1"),
        ({"clock": 1.0}, "The clock of second is"),
        ({"environments": {"echo": "other"}}, "same version on all machines"),
    ],
)
def test_a_machine_that_may_not_join_hears_why(
    host: tuple[App, str], tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    machine = Machine(host[1], tmp_path / "node", **changes)
    machine.thread.join(SECONDS)
    machine.close()
    assert isinstance(machine.error, NodeRefused)
    with pytest.raises(NodeRefused, match=words):
        raise machine.error
    assert host[0].nodes.registry.nodes == []
