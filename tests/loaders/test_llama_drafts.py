"""Drafts with llama.cpp's loaders: the same text, and draft models that do not fit."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.library.detect import detect
from modules.library.machine import inspect_machine
from modules.library.memory_plan import memory_demand, plan_memory
from modules.protocol.errors import PaddockError
from modules.protocol.events import Finished
from modules.protocol.memory_demand import MEBIBYTE
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build, describe
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.worker.llama.gguf_keys import read_keys, read_vocabulary
from tests.conftest import ROOT
from tests.support.changed_vocabulary import extra_token, write_changed_vocabulary
from tests.support.environments import installed, not_here
from tests.support.first_layers import write_first_layers
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
    drafted, finished = _reply(app, loader, micro_batch=16, **TEXT, draft_tokens=64)
    assert finished.accepted_tokens > 16
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


_CHANGES: dict[str, dict[str, Any]] = {
    "more": {"more": 128},
    "too many": {"more": 129},
    "a first name": {"names": {4: "<other>"}},
    "a later name": {"names": {5: "<other>"}},
    "another end": {"eos_token_id": 3},
    "another start": {"bos_token_id": 3},
    "an added start": {"add_bos_token": True},
    "an added end": {"add_eos_token": True},
}


@pytest.mark.parametrize("change", _CHANGES.values(), ids=_CHANGES)
def test_the_same_vocabularies_fit_as_llama_cpp_accepts(
    environments: Environments, tmp_path: Path, change: dict[str, Any]
) -> None:
    spec = Registry(ROOT / "loaders").get("xllamacpp")
    installed(spec, environments)
    model = ROOT / "models" / MODEL
    other = write_changed_vocabulary(model, tmp_path / "other.gguf", **change)
    for one, draft in ((model, other), (other, model)):
        command = [str(environments.python(spec)), "-m", "tests.support.draft_server", str(one), str(draft)]
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
        refused = "vocabs are not compatible" in answer.stderr
        assert refused or answer.stdout.strip() == "accepted", answer.stderr[-2000:]
        assert read_vocabulary(one).fits(read_vocabulary(draft)) != refused


@pytest.mark.parametrize("unused", [False, True], ids=["used", "unused"])
def test_tokens_that_one_model_has_alone_end_no_reply(app: App, loader: str, model: Path, unused: bool) -> None:
    write_changed_vocabulary(model, model.with_name("wider.gguf"), more=8, unused=unused)
    prompt, token = f"{PROMPT}{extra_token(3)} Step 9:", read_keys(model).vocabulary + 3
    texts = []
    for name, draft in (("wider.gguf", ""), ("wider.gguf", MODEL), (MODEL, ""), (MODEL, "wider.gguf")):
        if draft and loader == "xllamacpp" and not unused:  # llama.cpp's server would end.
            with pytest.raises(PaddockError, match="their vocabularies differ"):
                app.models.load(name, loader, {"draft_model": draft})
            continue
        app.models.load(name, loader, {"draft_model": draft})
        # The model would write such a token, too.
        bias = f"{token}:30" if name != MODEL else ""
        generation = app.supervisor.generate(prompt, dataclasses.replace(GREEDY, max_new_tokens=60, logit_bias=bias))
        assert generation.wait(PATIENCE) and generation.error is None
        texts.append(generation.text)
    if len(texts) == 4:
        assert texts[2] == texts[3]
        assert texts[0] == texts[1] or loader == "xllamacpp"  # whose drafts leave these tokens out


@pytest.mark.usefixtures("xllamacpp")
@pytest.mark.parametrize(
    "settings", [{}, {"context": 256}, {"batch": 16, "micro_batch": 16, "slots": 32}], ids=["3", "context", "32"]
)
def test_any_number_of_replies_at_once_can_be_chosen(app: App, model: Path, settings: dict[str, Any]) -> None:
    """llama.cpp ends the process where the replies do not divide the tokens of a step."""
    text, _ = _reply(app, "xllamacpp", SamplingParams(do_sample=False, max_new_tokens=8), slots=1)
    settings = {"slots": 3, **settings}
    assert _reply(app, "xllamacpp", SamplingParams(do_sample=False, max_new_tokens=8), **settings)[0] == text


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


def _buffers(loader: str, model: Path, environments: Environments, settings: dict[str, Any]) -> dict[str, float]:
    """Return what the engine says that it allocates for a model and its draft model: MiB of "model" and "KV"."""
    script = "server_log" if loader == "xllamacpp" else "vulkan_layers"
    spec = Registry(ROOT / "loaders").get(loader)
    command = [str(environments.python(spec)), "-m", f"tests.support.{script}", str(model), json.dumps(settings)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
    assert answer.returncode == 0, answer.stderr[-2000:]
    log = answer.stderr if loader == "xllamacpp" else json.loads(answer.stdout)["log"]
    return {what: sum(map(float, re.findall(rf"{what} buffer size = +([\d.]+) MiB", log))) for what in ("model", "KV")}


@pytest.mark.parametrize(
    "settings",
    [{"context": 512}, {"context": 512, "cache_type_k": "q8_0"}, {"context": 256, "slots": 3, "own_caches": "on"}],
    ids=["f16", "q8_0", "three caches"],
)
def test_the_plan_of_a_draft_model_is_what_the_engine_allocates(
    app: App, loader: str, model: Path, settings: dict[str, Any]
) -> None:
    write_first_layers(model, model.with_name("small.gguf"), 2)
    spec = Registry(ROOT / "loaders").get(loader)
    known = {entry.name for entry in describe(spec.settings)}
    values = {**{name: value for name, value in settings.items() if name in known}, "draft_model": "small.gguf"}
    machine = dataclasses.replace(inspect_machine(), gpus=())
    demand = memory_demand(facts := detect(model, MODEL), spec, build(spec.settings, values), machine)
    (main,) = plan_memory(facts, demand, machine).shares
    found = _buffers(loader, model, app.environments, values)
    assert main.cache / MEBIBYTE == pytest.approx(found["KV"], abs=0.02)
    # The files' headers count as weights.
    assert main.weights / MEBIBYTE == pytest.approx(found["model"], abs=0.15)
