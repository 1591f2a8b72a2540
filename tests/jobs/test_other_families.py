"""Models of other shapes than the demo's: quantized where the engine can, else refused before any weight is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.jobs.job_spec import JobSpec
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.settings.config import Config
from tests.support.environments import not_here
from tests.support.quantize import made_by
from tests.support.tiny_model_maker import OTHERS

ROOT = Path(__file__).resolve().parent.parent.parent
MAKER = ROOT / "tests" / "support" / "tiny_model_maker.py"
SHAPES = (*OTHERS, "gpt2", "mixtral")

PATIENCE = 120.0
_FEW = {"group_size": "32", "samples": "16", "length": "64"}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, environments: Environments) -> Iterator[App]:
    """Return an App with one tiny model of each shape."""
    if reason := not_here(Registry(ROOT / "loaders").get("transformers"), environments):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("shapes")
    made_by("transformers", folder / "models", MAKER, *SHAPES).rename(folder / "models")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user"))
    yield app
    app.close()


def _quantize(app: App, model: str, method: str, loader: str, **settings: str) -> dict[str, Any]:
    if reason := not_here(app.registry.get(loader), app.environments):
        pytest.skip(reason)
    return app.jobs.run(app.jobs.start(JobSpec("quantize", model, method=method, loader=loader, settings=settings)))


@pytest.mark.parametrize(
    ("method", "loader", "settings", "bits"),
    [
        ("bnb", "transformers", {"type": "int8"}, 12.5),
        ("hqq", "hqq", {"group_size": "32"}, 12),
        ("gptq", "gptqmodel", _FEW, 11),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_opt_is_quantized_by_the_engines_that_take_it(
    app: App, method: str, loader: str, settings: dict[str, str], bits: float
) -> None:
    # The job generates some tokens with its result. Half of the weights of this tiny model are its embeddings.
    assert 0 < _quantize(app, "opt", method, loader, **settings)["bits_per_weight"] < bits


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_packed_weights_run_beside_others_in_every_type(app: App, dtype: str) -> None:
    # The model's own type is bfloat16, and OPT's norms do not take inputs of another type than their weights.
    name = "opt-bnb-nf4"
    if not (app.paths.models / name).exists():
        _quantize(app, "opt", "bnb", "transformers", type="nf4")
    app.models.load(name, "transformers", {"dtype": dtype})
    generation = app.supervisor.generate("Hello", SamplingParams(max_new_tokens=3))
    generation.wait(PATIENCE)
    assert generation.error is None and generation.text
    app.supervisor.unload()


@pytest.mark.parametrize(
    ("kind", "method", "loader", "bits"),
    [
        ("tied", "awq", "autoawq", 8),
        ("tied", "gptq", "autogptq", 11),
        ("experts", "awq", "autoawq", 7),
        ("experts", "gptq", "autogptq", 8),
    ],
)
def test_tied_weights_and_experts_are_quantized(app: App, kind: str, method: str, loader: str, bits: float) -> None:
    # The job generates some tokens with its result.
    assert 0 < _quantize(app, kind, method, loader, **_FEW)["bits_per_weight"] < bits


def test_4_bits_take_widths_that_the_kernel_for_cpus_does_not(app: App) -> None:
    # The job generates some tokens with its result. LLaVA's down_proj has 96 inputs here.
    assert _quantize(app, "llava", "bnb", "transformers", type="nf4")["model"] == "llava-bnb-nf4"


@pytest.mark.parametrize(
    ("kind", "method", "loader", "settings", "words"),
    [
        ("opt", "gguf", "xllamacpp", {}, "opt is a OPTForCausalLM, which this converter does not write as GGUF"),
        ("llava", "gptq", "gptqmodel", _FEW, "llava also sees images, and GPTQ takes models of text alone"),
        ("llava", "awq", "autoawq", _FEW, "llava also sees images, and AWQ takes models of text alone"),
        ("llava", "w8a8", "llmcompressor", {}, "llava also sees images, and LLM Compressor takes models of text alone"),
        ("experts", "w8a8", "llmcompressor", {}, "is a mixture of experts, and this method would leave the experts"),
        ("gpt2", "hqq", "hqq", {"group_size": "32"}, r"100% of the weights .* are of another kind \(Conv1D\)"),
        (
            "mamba",
            "gptq",
            "gptqmodel",
            {**_FEW, "group_size": "-1"},
            "does not know the layers of this model's architecture",
        ),
        ("mamba", "bnb", "transformers", {}, "a state-space model of Mamba's kind"),
        ("mixtral", "bnb", "transformers", {}, r"86% of the weights .* are of another kind \(MixtralExperts\)"),
    ],
)
def test_a_method_that_cannot_says_so_before_weights_are_read(
    app: App, kind: str, method: str, loader: str, settings: dict[str, str], words: str
) -> None:
    if reason := not_here(app.registry.get(loader), app.environments):
        pytest.skip(reason)
    steps: list[str] = []
    with pytest.raises(PaddockError, match=words) as refused:
        job = app.jobs.start(JobSpec("quantize", kind, method=method, loader=loader, settings=settings))
        app.jobs.run(job, lambda state: steps.append(state.step))
    assert "Choose " in refused.value.message
    assert not [step for step in steps if step.startswith(("Packing", "Quantizing", "Writing"))]
