"""Every example of docs/api.md, run as it is written, against the demo model."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.library.scan import DEMO_MODEL
from modules.runtime.environment import Environments
from modules.settings.config import Config
from tests.conftest import ROOT
from tests.support.environments import installed, not_here
from tests.support.projector import write_audio_projector, write_projector
from tests.support.server import serving
from tests.support.sounds import tone
from tests.support.tiny_bert import write_embedder_gguf, write_reranker_gguf

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:7860"
EMBEDDER, RERANKER = "nomic-embed-text-v1.5.Q8_0.gguf", "bge-reranker-v2-m3.Q8_0.gguf"
EXAMPLES = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
# Routes that answer whatever has no other route, or that need a name in their path.
_WITHOUT = {"/v1/{path:path}", "/v1/models/{name:path}", "/v1/responses/{id}"}
# Those that extensions answer, which the page shows without running them.
_WITHOUT |= {"/v1/audio/{path:path}", "/v1/images/{path:path}", "/v1/moderations"}


@pytest.fixture(scope="module")
def app(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an App with the default loader, the demo model, and tiny models under the names of the page's others."""
    folder = tmp_path_factory.mktemp("docs")
    (folder / "models").mkdir()
    for path in (ROOT / "models").iterdir():
        (folder / "models" / path.name).symlink_to(path)
    write_embedder_gguf(folder / "models" / EMBEDDER)
    write_reranker_gguf(folder / "models" / RERANKER)
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user_data"))
    spec = app.registry.get("xllamacpp")
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    installed(spec, environments)
    yield app
    app.close()


@pytest.fixture(scope="module")
def address(app: App) -> Iterator[str]:
    """Return the address of a server."""
    with serving(app) as address:
        yield address


@pytest.fixture(scope="module")
def seeing(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a server with a model that sees images, and one that hears."""
    folder = tmp_path_factory.mktemp("seeing")
    for name, write in (("my-vision-model", write_projector), ("my-audio-model", write_audio_projector)):
        model = folder / "models" / name
        model.mkdir(parents=True)
        shutil.copy(ROOT / "models" / DEMO_MODEL, model)
        write(environments, model / "mmproj-F16.gguf")
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user_data"))
    try:
        with serving(app) as address:
            yield address
    finally:
        app.close()


def _run(kind: str, text: str, address: str) -> str:
    text = text.replace(ADDRESS, address)
    command = ["sh", "-c", text.replace("curl ", "curl -sS ", 1)] if kind == "sh" else [sys.executable, "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=[f"{at}-{kind}" for at, (kind, _) in enumerate(EXAMPLES)])
def test_an_example_gives_an_answer(
    app: App, address: str, request: pytest.FixtureRequest, tmp_path: Path, kind: str, text: str
) -> None:
    if kind == "sh" and shutil.which("curl") is None:
        pytest.skip("curl is not installed.")
    if app.supervisor.state.phase != "ready":
        app.models.load(DEMO_MODEL, "xllamacpp")
    if "my-vision-model" in text or "my-audio-model" in text:
        address = request.getfixturevalue("seeing")
    (tmp_path / "question.wav").write_bytes(tone())
    text = text.replace("question.wav", str(tmp_path / "question.wav"))
    printed = _run(kind, text, address)
    if kind == "python":
        assert printed.strip()
        return
    answer: Any = json.loads(printed)
    assert not isinstance(answer, dict) or answer.get("error") is None


def test_logits_are_probabilities_of_the_model(app: App, address: str) -> None:
    if app.supervisor.state.phase != "ready":
        app.models.load(DEMO_MODEL, "xllamacpp")
    answer = httpx.post(f"{address}/v1/internal/logits", json={"prompt": "GGUF is", "top_logits": 5}).json()
    chances = list(answer["logits"].values())
    assert len(chances) == 5 and chances == sorted(chances, reverse=True) and 0 < sum(chances) <= 1.001


def test_token_ids_that_the_model_does_not_have_are_the_clients_error(app: App, address: str) -> None:
    if app.supervisor.state.phase != "ready":
        app.models.load(DEMO_MODEL, "xllamacpp")
    answer = httpx.post(f"{address}/v1/internal/decode", json={"tokens": [49_488_477]}, timeout=60)
    assert answer.status_code == 400 and "has no token" in answer.json()["error"]["message"]


def test_every_route_has_an_example_on_the_page(app: App) -> None:
    from modules.api.openai import router

    written = "".join(text for _, text in EXAMPLES)
    missing = []
    for route in router(app).routes:
        path = str(getattr(route, "path", ""))
        if path not in _WITHOUT and not re.search(re.escape(path) + r"(?![\w/-])", written):
            missing.append(path)
    assert not missing


def test_the_readme_links_to_the_page() -> None:
    assert "(docs/api.md)" in Path(ROOT, "README.md").read_text(encoding="utf-8")
