"""Drafts with llama.cpp's loaders: the same text, and draft models that do not fit."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.protocol.errors import PaddockError
from modules.protocol.events import Finished
from modules.protocol.sampling import SamplingParams
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.conftest import ROOT
from tests.support.environments import installed, not_here
from tests.support.head_model import write_head_model

PATIENCE = 120.0
MODEL = "demo.Q8_0.gguf"
PROMPT = "".join(f"Step {number}: open the folder, read the file, load the model.\n" for number in range(1, 9)) * 2
GREEDY = SamplingParams(do_sample=False, ban_eos_token=True, max_new_tokens=200)
DRAWN = SamplingParams(temperature=0.8, seed=3, ban_eos_token=True, max_new_tokens=100)
TEXT: dict[str, Any] = {"ngram_draft": True}
SMALL: dict[str, Any] = {"draft_model": "small.gguf", "draft_tokens": 4}


def _reply(app: App, loader: str, params: SamplingParams = GREEDY, **settings: Any) -> tuple[str, Finished]:
    app.models.load(MODEL, loader, settings)
    generation = app.supervisor.generate(PROMPT, params)
    assert generation.wait(PATIENCE) and generation.error is None
    assert generation.finished is not None
    return generation.text, generation.finished


@pytest.fixture(params=["xllamacpp", "llamacpp"])
def loader(request: pytest.FixtureRequest, environments: Environments) -> str:
    spec = Registry(ROOT / "loaders").get(request.param)
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    installed(spec, environments)
    return str(request.param)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return Path(shutil.copy(ROOT / "models" / MODEL, tmp_path / "models" / MODEL))


def test_drafts_are_no_longer_than_a_batch(app: App, loader: str, model: Path) -> None:
    """llama.cpp ends the process where one step has more tokens."""
    text, _ = _reply(app, loader)
    drafted, finished = _reply(app, loader, batch=16, micro_batch=16, **TEXT, draft_tokens=64)
    assert finished.accepted_tokens > 16
    assert drafted == text
    if loader == "xllamacpp":
        with pytest.raises(PaddockError, match="a batch of at least 32"):
            app.models.load(MODEL, loader, {"batch": 16, "micro_batch": 16, "slots": 16, **TEXT})


def test_the_cache_is_right_after_drafts(app: App, loader: str, model: Path) -> None:
    """A second turn reads only what is new, so a wrong guess that stayed in the cache would change it."""
    shutil.copy(model, model.with_name("small.gguf"))
    second = []
    for settings in ({}, TEXT, SMALL):
        text, _ = _reply(app, loader, DRAWN, **settings)
        generation = app.supervisor.generate(f"{PROMPT}{text}\nStep 9:", GREEDY)
        assert generation.wait(PATIENCE) and generation.error is None
        assert generation.finished is not None and generation.finished.cached_tokens > 0
        second.append(generation.text)
    assert second[0] == second[1] == second[2]


def test_drafts_give_the_same_text(app: App, loader: str, model: Path) -> None:
    text, without = _reply(app, loader)
    assert (without.drafted_tokens, without.accepted_tokens) == (0, 0)
    shutil.copy(model, model.with_name("small.gguf"))
    for settings in (TEXT, SMALL, {**TEXT, **SMALL}):
        drafted, finished = _reply(app, loader, **settings)
        assert drafted == text
        assert 0 < finished.accepted_tokens <= finished.drafted_tokens
        assert finished.generated_tokens == without.generated_tokens


def test_wrong_guesses_and_drawn_tokens_change_no_text(app: App, model: Path) -> None:
    loader = "llamacpp"
    spec = Registry(ROOT / "loaders").get(loader)
    if reason := not_here(spec, app.environments):
        pytest.skip(reason)
    _write_worse(model, model.with_name("small.gguf"))
    for params in (GREEDY, DRAWN):
        text, without = _reply(app, loader, params)
        drafted, finished = _reply(app, loader, params, **SMALL)
        assert drafted == text
        assert 0 < finished.accepted_tokens < finished.drafted_tokens
        assert finished.generated_tokens == without.generated_tokens


def _write_worse(model: Path, worse: Path) -> None:
    """Write a copy of a Q8_0 model whose weights are partly wrong, so that it guesses wrong now and then."""
    data = bytearray(model.read_bytes())
    for at in range(len(data) // 2, len(data) - 1, 1500):
        data[at] ^= 1
    worse.write_bytes(data)


def test_a_draft_model_that_does_not_fit_is_refused(app: App, loader: str, model: Path) -> None:
    damaged = bytearray(model.read_bytes())
    # A token of the vocabulary gets another name of the same length.
    name = "▁the".encode()
    at = damaged.index(name)
    damaged[at : at + len(name)] = "▁eht".encode()
    model.with_name("other.gguf").write_bytes(damaged)
    for draft, words in (("other.gguf", "their vocabularies differ"), ("gone.gguf", "There is no draft model gone")):
        with pytest.raises(PaddockError) as caught:
            app.models.load(MODEL, loader, {"draft_model": draft})
        assert words in caught.value.message


@pytest.fixture
def xllamacpp(environments: Environments) -> None:
    installed(Registry(ROOT / "loaders").get("xllamacpp"), environments)


@pytest.mark.usefixtures("xllamacpp")
def test_heads_of_the_model_guess_tokens(app: App, model: Path) -> None:
    write_head_model(model, model.with_name("heads.gguf"))
    texts = []
    for settings in ({}, {"mtp_draft": True, "draft_tokens": 2}, {"mtp_draft": True, "ngram_draft": True}):
        app.models.load("heads.gguf", "xllamacpp", settings)
        generation = app.supervisor.generate("Hello", GREEDY)
        assert generation.wait(PATIENCE) and generation.error is None
        assert (finished := generation.finished) is not None
        texts.append((generation.text, finished.generated_tokens))
        assert bool(finished.drafted_tokens) == bool(settings)
        assert finished.accepted_tokens == pytest.approx(finished.drafted_tokens, abs=3)
    assert len(set(texts)) == 1


@pytest.mark.usefixtures("xllamacpp")
def test_a_model_without_heads_says_so(app: App, model: Path) -> None:
    write_head_model(model, model.with_name("promised.gguf"), heads=False)
    write_head_model(model, model.with_name("heads.gguf"))
    other = model.with_name("heads.gguf").read_bytes().replace(b"glm4moe", b"exaone4")
    model.with_name("other.gguf").write_bytes(other)
    for name, settings, words in (
        (MODEL, {}, "carries no heads"),
        ("promised.gguf", {}, "carries no heads"),
        ("other.gguf", {}, "cannot draft from the heads of the architecture 'exaone4'"),
        ("heads.gguf", {"draft_model": MODEL}, "or from the model's own heads"),
    ):
        with pytest.raises(PaddockError) as caught:
            app.models.load(name, "xllamacpp", {"mtp_draft": True, **settings})
        assert words in caught.value.message
