"""vLLM over two machines: a model split over two network namespaces, and its second machine killed in mid-reply."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loaders.vllm.spec import SPEC
from modules.runtime.environment import Environments
from tests.conftest import ROOT
from tests.support.environments import installed, not_here
from tests.support.long_tests import takes_minutes
from tests.support.namespaces import Namespace, Process, two_namespaces, why_no_namespaces

pytestmark = pytest.mark.slow

KEY = "the admin key"
# Sends a request, and prints each line of the answer as it arrives.
_CLIENT = """
import sys, urllib.error, urllib.request
address, key, body = sys.argv[1:]
headers = {"Authorization": "Bearer " + key, "Content-Type": "application/json"}
request = urllib.request.Request(address, body.encode() or None, headers)
try:
    answer = urllib.request.urlopen(request)
except urllib.error.HTTPError as error:
    answer = error
for line in answer:
    print(line.decode().strip(), flush=True)
"""


def _ask(host: Namespace, path: str, body: dict[str, Any] | None = None) -> Process:
    text = json.dumps(body) if body else ""
    return Process(host, "-c", _CLIENT, f"http://{host.address}:7860{path}", KEY, text)


def _chat(host: Namespace, **body: Any) -> Process:
    messages = [{"role": "user", "content": "What is GGUF?"}]
    return _ask(host, "/v1/chat/completions", {"messages": messages, "temperature": 0, **body})


def _answer(host: Namespace) -> str:
    answer = json.loads(_chat(host, max_tokens=24).output())
    return str(answer["choices"][0]["message"]["content"])


@pytest.fixture
def machines(environments: Environments) -> Iterator[tuple[Namespace, Namespace]]:
    """Return two namespaces on a machine that has vLLM."""
    if reason := not_here(SPEC, environments) or why_no_namespaces():
        pytest.skip(reason)
    installed(SPEC, environments)
    with two_namespaces() as both:
        yield both


@takes_minutes
def test_a_model_over_two_machines_answers_and_survives_the_death_of_one(
    machines: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    first, second = machines
    shutil.copytree(ROOT / "models" / "demo", tmp_path / "models" / "demo")
    folders = ["--no-venv", "--models", str(tmp_path / "models"), "--user-data", str(tmp_path / "data")]
    others = ["--no-venv", "--models", str(tmp_path / "node"), "--user-data", str(tmp_path / "node-data")]
    (tmp_path / "node").mkdir()
    host = Process(first, "webui.py", *folders, "--listen", "--admin-key", KEY, "--no-model", "--load-anyway")
    node = None
    try:
        host.wait_for("Paddock is ready")
        node = Process(second, "webui.py", "node", "join", first.address, "--key", KEY, "--name", "second", *others)
        node.wait_for("Joined")
        args = {"loader": "vllm", "nodes": "auto", "context": 256, "slots": 2}
        load = {"model_name": "demo", "args": args}
        assert _ask(first, "/v1/internal/model/load", load).output() == '"OK"', node.lines
        node.wait_for("Holds a part of demo: machine 2 of 2")
        assert (tmp_path / "node" / "demo" / "config.json").is_file()
        answer = _answer(first)
        assert len(answer.split()) > 3

        reply = _chat(first, max_tokens=200, stream=True, ban_eos_token=True)
        reply.wait_for('"content"')
        node.kill()
        assert "The node second" in reply.output() and host.process.poll() is None
        (row,) = json.loads(_ask(first, "/paddock/models/nodes").output())
        assert row["health"] == "lost" and row["problem"]

        assert _ask(first, "/v1/internal/model/load", load).output() == '"OK"'
        assert _answer(first) == answer
    finally:
        for process in (node, host):
            if process:
                process.kill()
