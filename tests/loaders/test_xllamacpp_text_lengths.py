"""Many texts are tokenized by llama.cpp's server with one request, and each as by itself."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence

import pytest

from loaders.xllamacpp.server_http import LocalServer
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.conftest import ROOT
from tests.support.environments import installed

TEXTS = ["A heron stands.", "", " two  spaces", "<s>no token</s>", "é 😀 漢字", "\ufdd0 a mark", "word " * 300]
# Prints the lengths of the texts, counted at once and one by one. The server's threads do not end with Python.
SCRIPT = """
import json, os, sys
from pathlib import Path
from loaders.xllamacpp.spec import Settings
from loaders.xllamacpp.worker import Engine
engine = Engine()
engine.load(Path("models/demo.Q8_0.gguf"), Settings(context=256), lambda text, fraction: None)
texts = json.loads(sys.argv[1])
print("lengths", json.dumps([engine.text_lengths(texts), [len(engine.tokenize(text, False)) for text in texts]]))
sys.stdout.flush()
os._exit(0)
"""


def _ids(text: str) -> list[int]:
    return [len(word) for word in text.split()]


class _Server(LocalServer):
    """Answers /tokenize as llama.cpp does for a list: texts are tokenized, and numbers are ids."""

    requests = 0

    def post(self, path: str, body: Mapping[str, object] | Sequence[Mapping[str, object]]) -> dict[str, list[int]]:
        assert path == "/tokenize" and isinstance(body, Mapping) and isinstance(body["content"], list)
        self.requests += 1
        return {"tokens": [id for one in body["content"] for id in ([one] if isinstance(one, int) else _ids(one))]}


@pytest.mark.parametrize("texts", [[], [""], ["a bb", "", "ccc"], ["", ""]])
def test_texts_are_told_apart_in_the_answer(texts: list[str]) -> None:
    server = _Server("", "")
    assert server.tokenize_all(texts) == [_ids(text) for text in texts]
    assert server.requests == 1


def test_the_lengths_are_those_of_each_text_by_itself(environments: Environments) -> None:
    python = installed(Registry(ROOT / "loaders").get("xllamacpp"), environments)
    ended = subprocess.run(
        [str(python), "-c", SCRIPT, json.dumps(TEXTS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    line = next(line for line in ended.stdout.splitlines() if line.startswith("lengths "))
    at_once, one_by_one = json.loads(line.removeprefix("lengths "))
    assert at_once == one_by_one and at_once[0] > 0 and at_once[1] == 0
