"""Reranking over the API, and models that only read beside the one that chats, with the echo loader.

Its score is the share of the query's words that a document contains.
"""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from modules.api.rerank import MOST_DOCUMENTS
from modules.api.warning_header import WARNING_HEADER
from modules.app import App
from modules.cli.application import build_app
from modules.protocol.errors import PaddockError, Unsupported
from modules.protocol.sampling import SamplingParams
from modules.settings.config import Config
from tests.conftest import ROOMY, ROOT
from tests.support.models import write_model_folder
from tests.support.server import serving

DOCUMENTS = ["the cat", "a loader reads a model", "what is a loader"]
QUERY = "what is a loader"
_CONFIGS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "judge": {"architectures": ["BertForSequenceClassification"], "model_type": "bert", "num_labels": 1},
    "vectors": {"architectures": ["Qwen3Model"], "model_type": "qwen3"},
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an App with a model that chats, which is loaded, a reranker and an embedding model."""
    folder = tmp_path_factory.mktemp("readers")
    for name, changes in _CONFIGS.items():
        file = write_model_folder(folder / "models" / name) / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user_data", show_echo=True))
    try:
        # So that a load on request takes the same loader.
        for name in reversed(_CONFIGS):
            app.models.load(name, "echo", ROOMY if name == "tiny" else {"context": 16})
        yield app
    finally:
        app.close()


@pytest.fixture(scope="module")
def client(app: App) -> Iterator[httpx.Client]:
    """Return a client of a server with these models."""
    with serving(app) as address, httpx.Client(base_url=address, timeout=90) as client:
        yield client


def _rerank(client: httpx.Client, **body: Any) -> httpx.Response:
    return client.post("/v1/rerank", json={"model": "judge", "query": QUERY, "documents": DOCUMENTS, **body})


@pytest.mark.parametrize("path", ["/v1/rerank", "/v1/reranking", "/rerank", "/reranking", "/v2/rerank"])
def test_documents_are_sorted_by_their_scores(client: httpx.Client, path: str) -> None:
    answer = client.post(path, json={"model": "judge", "query": QUERY, "documents": DOCUMENTS}).json()
    assert answer["results"] == [
        {"index": 2, "relevance_score": 1.0},
        {"index": 1, "relevance_score": 0.5},
        {"index": 0, "relevance_score": 0.0},
    ]
    tokens = sum(len(text.split()) + len(QUERY.split()) for text in DOCUMENTS)
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert (answer["model"], answer["object"]) == ("judge", "list")


def test_the_best_come_with_their_texts_where_asked(client: httpx.Client) -> None:
    documents = [DOCUMENTS[0], {"text": DOCUMENTS[2]}]
    answer = _rerank(client, documents=documents, top_n=1, return_documents=True).json()
    assert answer["results"] == [{"index": 1, "relevance_score": 1.0, "document": {"text": DOCUMENTS[2]}}]


def test_an_alias_is_behind_the_gate(app: App, tmp_path: Path) -> None:
    config = dataclasses.replace(app.config, api_key="word")
    locked = build_app(dataclasses.replace(config, user_data=tmp_path))
    try:
        with serving(locked) as address:
            refused = httpx.post(f"{address}/rerank", json={})
            assert refused.status_code == 401
            known = httpx.post(f"{address}/v2/rerank", json={}, headers={"x-api-key": "word"})
            assert known.status_code == 400 and "'query' must be a text" in known.json()["error"]["message"]
    finally:
        locked.close()


def test_a_batch_does_not_change_the_places(client: httpx.Client) -> None:
    documents = [*(["nothing"] * 20), QUERY]
    assert _rerank(client, documents=documents, top_n=1).json()["results"][0]["index"] == 20


def test_a_reranker_is_loaded_beside_the_model_that_chats(app: App, client: httpx.Client) -> None:
    assert _rerank(client).status_code == 200
    assert app.supervisor.state.model == "tiny" and app.supervisor.state.phase == "ready"
    listed = {one["id"]: one for one in client.get("/v1/models").json()["data"]}
    assert {name: one["purpose"] for name, one in listed.items()} == {
        "tiny": "generate",
        "judge": "rerank",
        "vectors": "embed",
    }
    assert listed["judge"]["state"] == "ready"
    # Without a name, the loaded reranker is meant, and for a chat the model that chats.
    assert _rerank(client, model=None).json()["model"] == "judge"
    chat = client.post("/v1/completions", json={"prompt": "hello", "max_tokens": 5})
    assert chat.json()["model"] == "tiny"


def test_a_long_document_is_cut_and_the_answer_says_so(client: httpx.Client) -> None:
    answer = _rerank(client, documents=["so " * 50 + QUERY, QUERY])
    assert [one["index"] for one in answer.json()["results"]] == [1, 0]
    assert answer.headers[WARNING_HEADER].startswith("1 of 2 documents are longer than the model reads")
    assert WARNING_HEADER not in _rerank(client).headers


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"query": " "}, "'query' is empty"),
        ({"query": None}, "'query' must be a text"),
        ({"query": "word " * 20}, "The query has 20 tokens"),
        ({"documents": []}, "at least one text"),
        ({"documents": "one"}, "must be a list of texts"),
        ({"documents": ["one", 2]}, "Entry 1 of 'documents'"),
        ({"documents": [{"title": "one"}]}, "Entry 0 of 'documents'"),
        ({"documents": ["a"] * (MOST_DOCUMENTS + 1)}, f"at most {MOST_DOCUMENTS} go at once"),
        ({"documents": ["a"] * 100_000}, f"at most {MOST_DOCUMENTS} go at once"),
        ({"top_n": 0}, "'top_n' must be a whole number"),
        ({"return_documents": "yes"}, "'return_documents' must be true or false"),
        ({"model": "tiny"}, "tiny generates text, so it cannot rerank. Name a reranker"),
        ({"model": "vectors"}, "is an embedding model"),
    ],
)
def test_bad_input_is_refused_with_a_sentence(client: httpx.Client, body: dict[str, Any], says: str) -> None:
    answer = _rerank(client, **body)
    assert answer.status_code == 400 and says in answer.json()["error"]["message"]


@pytest.mark.parametrize("name", ["judge", "vectors"])
def test_a_model_that_reads_is_not_loaded_for_a_chat(app: App, client: httpx.Client, name: str) -> None:
    if found := app.pool.find(name):
        app.pool.remove(found)
    body = {"model": name, "messages": [{"role": "user", "content": "hello"}]}
    answer = client.post("/v1/chat/completions", json=body)
    message = answer.json()["error"]["message"]
    assert answer.status_code == 400 and "so it cannot chat" in message and "choose a model that generates" in message
    assert app.pool.find(name) is None


def test_a_reranker_makes_no_embeddings(client: httpx.Client) -> None:
    answer = client.post("/v1/embeddings", json={"model": "judge", "input": "hello"})
    assert answer.status_code == 400 and "makes no embeddings" in answer.json()["error"]["message"]


def test_a_loaded_model_that_reads_refuses_to_write(app: App, client: httpx.Client) -> None:
    _rerank(client)
    found = app.pool.find("judge")
    assert found is not None
    with pytest.raises(Unsupported, match="is a reranker.*so it cannot chat"):
        found.supervisor.generate("hello", SamplingParams())


def test_the_page_loads_it_beside_the_model_that_chats(app: App) -> None:
    if found := app.pool.find("vectors"):
        app.pool.remove(found)
    loaded = threading.Event()

    def look(state: object) -> None:
        if (found := app.pool.find("vectors")) and found.ready:
            loaded.set()

    unsubscribe = app.supervisor.state_store.subscribe(look)
    app.on_request.load_beside_in_background("vectors", "echo", {"context": 16})
    assert loaded.wait(60)
    unsubscribe()
    assert [model.name for model in app.pool.models if model.purpose == "embed"] == ["vectors"]
    assert app.supervisor.state.model == "tiny"


def test_a_loader_without_that_purpose_is_refused(app: App) -> None:
    with pytest.raises(PaddockError, match="judge is a reranker.*vLLM loads no such models. Choose another loader"):
        app.models.load("judge", "vllm")
