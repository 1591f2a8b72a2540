"""Embedding models and rerankers in real engines, beside what Transformers computes directly from the same weights."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.runtime.environment import Environments
from modules.settings.config import Config
from tests.conftest import ROOT
from tests.support import tiny_bert
from tests.support.environments import installed, not_here
from tests.support.server import serving

TEXTS = ["How do I load a model?", "a", "Files in models/ are found; the page lists them all, sorted by name."]
QUERY = "how do i load a model"
DOCUMENTS = ["Press Load.", "The cat sleeps.", "A model is loaded on the Model tab, where a button says so."]
POOLINGS = {"mean": 1, "cls": 2, "lasttoken": 3}
# llama.cpp computes GELU from a table in 16 bits.
TOLERANCE = {"transformers": 1e-5, "xllamacpp": 4e-3, "llamacpp": 4e-3}
EXACT = {"transformers": {"dtype": "float32", "device_map": "cpu"}}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an App with each model as a folder and as GGUF."""
    folder = tmp_path_factory.mktemp("encoders")
    models = folder / "models"
    for name, number in POOLINGS.items():
        tiny_bert.write_embedder(models / name, name)
        tiny_bert.write_embedder_gguf(models / f"{name}.gguf", number)
    tiny_bert.write_reranker(models / "judge")
    tiny_bert.write_reranker_gguf(models / "judge.gguf")
    app = build_app(Config(ROOT, port=0, models=models, user_data=folder / "user_data"))
    yield app
    app.close()


@pytest.fixture(scope="module")
def direct(app: App, environments: Environments) -> dict[str, Any]:
    """Return what Transformers alone computes: vectors by pooling, and under "judge" the scores."""
    spec = app.registry.get("transformers")
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    models = app.paths.models
    requests: list[dict[str, Any]] = [{"folder": str(models / one), "texts": TEXTS, "pooling": one} for one in POOLINGS]
    requests.append({"folder": str(models / "judge"), "query": QUERY, "documents": DOCUMENTS})
    script = ROOT / "tests" / "support" / "bert_reference.py"
    command = [str(installed(spec, environments)), str(script), json.dumps(requests)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return dict(zip([*POOLINGS, "judge"], json.loads(done.stdout), strict=True))


@pytest.fixture
def load(app: App, environments: Environments) -> Callable[[str, str], None]:
    """Return a function that loads a model with a loader, in 32 bits."""

    def load(name: str, loader: str) -> None:
        spec = app.registry.get(loader)
        if reason := not_here(spec, environments):
            pytest.skip(reason)
        installed(spec, environments)
        app.models.load(name if loader == "transformers" else f"{name}.gguf", loader, EXACT.get(loader, {}))

    return load


@pytest.mark.parametrize("loader", TOLERANCE)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_vectors_are_those_of_transformers(
    app: App, load: Callable[[str, str], None], direct: dict[str, Any], pooling: str, loader: str
) -> None:
    load(pooling, loader)
    found, tokens = app.supervisor.embed([*TEXTS])
    assert app.supervisor.embed([TEXTS[2]])[0][0] == pytest.approx(found[2], abs=1e-5)
    assert tokens == sum(len(app.supervisor.tokenize(text, special=True)) for text in TEXTS)
    for mine, theirs in zip(found, direct[pooling], strict=True):
        assert mine == pytest.approx(theirs, abs=TOLERANCE[loader])


@pytest.mark.parametrize("loader", ["transformers", "xllamacpp"])
def test_scores_are_those_of_transformers(
    app: App, load: Callable[[str, str], None], direct: dict[str, Any], loader: str
) -> None:
    load("judge", loader)
    expected = direct["judge"]
    assert max(expected) - min(expected) > 0.05
    found = app.supervisor.rerank(QUERY, DOCUMENTS)
    assert found.scores == pytest.approx(expected, abs=TOLERANCE[loader])
    assert found.cut == [] and found.tokens > len(DOCUMENTS) * len(QUERY.split())


@pytest.mark.parametrize("loader", ["transformers", "xllamacpp"])
def test_a_long_document_is_read_as_far_as_the_model_reads(
    app: App, load: Callable[[str, str], None], loader: str
) -> None:
    load("judge", loader)
    begin = "a b c " * 40
    found = app.supervisor.rerank(QUERY, [f"{begin}{'x ' * 5000}", "short", f"{begin}{'y ' * 5000}"])
    assert found.cut == [0, 2]
    assert found.scores[0] == pytest.approx(found.scores[2], abs=1e-5)
    assert found.tokens < 3 * tiny_bert.CONTEXT


@pytest.mark.parametrize("loader", ["transformers", "xllamacpp"])
def test_the_api_answers_with_them(app: App, load: Callable[[str, str], None], loader: str) -> None:
    load("judge", loader)
    suffix = "" if loader == "transformers" else ".gguf"
    with serving(app) as address, httpx.Client(base_url=address, timeout=120) as client:
        body = {"model": f"judge{suffix}", "query": QUERY, "documents": DOCUMENTS, "top_n": 2}
        ranked = client.post("/v1/rerank", json=body).json()
        best = [one["relevance_score"] for one in ranked["results"]]
        assert len(best) == 2 and best == sorted(best, reverse=True)
        asked = client.post("/v1/rerank", json={**body, "query": "x " * 500})
        assert asked.status_code == 400 and "Shorten the query" in asked.json()["error"]["message"]
        load("mean", loader)
        long = {"model": f"mean{suffix}", "input": "x " * 500}
        answer = client.post("/v1/embeddings", json=long)
        assert answer.status_code == 400 and "at most 128 go at once" in answer.json()["error"]["message"]
        chat = client.post("/v1/completions", json={"model": f"mean{suffix}", "prompt": "hello"})
        assert chat.status_code == 400 and "is an embedding model" in chat.json()["error"]["message"]
