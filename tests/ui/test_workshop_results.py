"""The Workshop's routes beside jobs: blind comparisons, the curve of a training, and files for jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from modules.app import App
from modules.families.training_curve import write_losses
from modules.jobs.job_spec import FINISHED, JobSpec, JobState
from modules.jobs.store import JobStore
from tests.support.adapters import write_peft_adapter
from tests.support.server import serving

# Whole servers.
pytestmark = pytest.mark.slow

ANSWERS = [
    {"prompt": "What is GGUF?", "answers": {"one": "A file.", "two": "A format.", "three": "A horse."}},
    {"prompt": "Hello!", "answers": {"one": "Hi.", "two": "Hi.", "three": "Hi."}},
    {"prompt": "Who are you?", "answers": {"one": "A model.", "two": "Two.", "three": "Three."}},
]


@pytest.fixture
def page(app: App) -> Iterator[httpx.Client]:
    with serving(app) as address, httpx.Client(base_url=f"{address}/paddock/workshop", timeout=60) as client:
        yield client


@pytest.fixture
def compared(app: App) -> str:
    """Return the id of a finished comparison of three models."""
    store = JobStore(app.paths.jobs)
    id = store.create(JobSpec("compare", "one", models=["one", "two", "three"]))
    store.write_results(id, {"rows": [], "answers": ANSWERS})
    store.write_state(id, JobState(FINISHED))
    return id


def _blind(page: httpx.Client, id: str, verb: str, **body: Any) -> Any:
    answer = page.post(f"/jobs/{id}/blind/{verb}", json=body)
    return answer.json() if answer.status_code == 200 else answer.json()["error"]


def test_a_blind_comparison_tells_no_names_before_the_last_vote(page: httpx.Client, compared: str) -> None:
    assert page.get(f"/jobs/{compared}").json()["blind"] is None
    begun = _blind(page, compared, "start", models=["one", "three"])
    assert [pair["place"] for pair in begun["pairs"]] == [0, 2]
    assert (begun["same"], begun["revealed"], begun["tally"]) == (1, False, None)
    assert all(pair["models"] is None for pair in begun["pairs"])
    assert {begun["pairs"][0][side] for side in "ab"} == {"A file.", "A horse."}
    wrote = {pair["place"]: "one" if pair["a"] in ("A file.", "A model.") else "three" for pair in begun["pairs"]}
    first = _blind(page, compared, "vote", place=0, better="a")
    assert (first["revealed"], first["pairs"][0]["vote"]) == (False, "a")
    assert page.get(f"/jobs/{compared}").json()["blind"] == first
    last = _blind(page, compared, "vote", place=2, better="equal")
    assert last["revealed"]
    assert last["tally"] == {"one": 0, "three": 0, "equal": 1, wrote[0]: 1}
    assert last["pairs"][0]["models"][0] == wrote[0]
    assert page.get(f"/jobs/{compared}").json()["blind"] == last
    assert "Judge again" in _blind(page, compared, "vote", place=0, better="b")


def test_the_order_of_the_answers_is_random(page: httpx.Client, compared: str) -> None:
    first = {_blind(page, compared, "start", models=["one", "three"])["pairs"][0]["a"] for _ in range(40)}
    assert first == {"A file.", "A horse."}


def test_a_blind_comparison_can_be_revealed_early_and_begun_again(page: httpx.Client, compared: str) -> None:
    assert "Begin one first" in _blind(page, compared, "reveal")
    _blind(page, compared, "start", models=["one", "two"])
    _blind(page, compared, "vote", place=2, better="b")
    early = _blind(page, compared, "reveal")
    assert early["revealed"] and sum(early["tally"].values()) == 1
    again = _blind(page, compared, "start", models=["two", "three"])
    assert not again["revealed"] and not any(pair["vote"] for pair in again["pairs"])


def test_what_cannot_be_judged_is_refused_with_a_sentence(app: App, page: httpx.Client, compared: str) -> None:
    for models in (["one", "one"], ["one", "four"], ["one"], []):
        assert "Choose two models" in _blind(page, compared, "start", models=models)
    _blind(page, compared, "start", models=["one", "two"])
    for vote in ({"place": 1, "better": "a"}, {"place": 7, "better": "a"}, {"place": 0, "better": "c"}):
        assert "A vote is one of" in _blind(page, compared, "vote", **vote)
    assert "no action" in _blind(page, compared, "dance")
    other = JobStore(app.paths.jobs).create(JobSpec("evaluate", "tiny"))
    assert "Compare two models first" in _blind(page, other, "start", models=["one", "two"])


def test_the_curve_of_a_training_is_there_while_it_runs_and_afterwards(app: App, page: httpx.Client) -> None:
    store = JobStore(app.paths.jobs)
    id = store.create(JobSpec("train", "tiny"))
    assert page.get(f"/jobs/{id}/training").json() == {"losses": [], "validation": [], "samples": []}
    folder = store.checkpoints(id)
    history = [{"step": 1, "loss": 2.5}, {"step": 1, "eval_loss": 2.75}, {"step": 2, "loss": float("nan")}]
    write_losses(folder, history)
    rows = [
        {"step": 2, "epoch": 1, "text": "old"},
        {"step": 1, "epoch": 1, "text": "x"},
        {"step": 2, "epoch": 1, "text": "y"},
    ]
    (folder / "samples.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{"step": 3, "ep', encoding="utf-8")
    expected = {"losses": [[1, 2.5]], "validation": [[1, 2.75]], "samples": [rows[1], rows[2]]}
    assert page.get(f"/jobs/{id}/training").json() == expected
    store.write_results(id, {**expected, "adapter": "tiny-lora", "steps": 2})
    store.remove_checkpoints(id)
    assert page.get(f"/jobs/{id}/training").json() == expected


def test_a_file_for_a_job_is_stored_and_never_overwritten(app: App, page: httpx.Client) -> None:
    def send(name: str, content: bytes) -> httpx.Response:
        return page.put(f"/texts/{name}", content=content)

    first = send("data.jsonl", b'{"text": "one"}').json()["path"]
    assert send("data.jsonl", b'{"text": "one"}').json()["path"] == first
    second = send("data.jsonl", b'{"text": "two"}').json()["path"]
    assert [path.read_bytes() for path in sorted(app.paths.job_texts.iterdir())] == [
        b'{"text": "two"}',
        b'{"text": "one"}',
    ]
    assert first.endswith("data.jsonl") and second.endswith("data-2.jsonl")
    for name, content in (("a.exe", b"x"), ("a.txt", b" \n"), ("con.txt", b"x"), ("..%5Ca.txt", b"x"), (".txt", b"x")):
        assert send(name, content).status_code == 400, name
    assert len(list(app.paths.job_texts.iterdir())) == 2


def test_a_model_is_loaded_with_its_new_adapter_and_no_other(app: App, page: httpx.Client) -> None:
    for name in ("old", "new"):
        write_peft_adapter(app.paths.models / name, layers=1)
    app.models.load("tiny", "echo", {"context": 512}, adapters={"old": 1.0})
    page.post("/adapters/load", json={"model": "tiny", "adapter": "new"}).raise_for_status()
    assert app.supervisor.state.adapters == {"new": 1.0}
    assert page.post("/adapters/load", json={"model": "tiny", "adapter": "none"}).status_code == 400


def test_the_state_has_what_the_cards_of_training_and_models_show(app: App, page: httpx.Client) -> None:
    write_peft_adapter(app.paths.models / "style")
    state = page.get("/state").json()
    assert {"base", "rank", "alpha", "epochs", "learning_rate", "sample"} <= {row["name"] for row in state["training"]}
    assert [(model["name"], model["trainable"]) for model in state["models"]] == [("tiny", True)]
    assert [adapter["name"] for adapter in state["adapters"]] == ["style"]
