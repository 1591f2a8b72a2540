"""Other families than the demo's: their GGUF files have the logits of the folder, and llama.cpp's types."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.jobs.job_spec import JobSpec
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.settings.config import Config
from tests.support.environments import not_here
from tests.support.gguf_quantizers import Case, GgufQuantizers
from tests.support.quantize import made_by
from tests.support.tiny_model_maker import KINDS

ROOT = Path(__file__).resolve().parent.parent.parent
MAKER = ROOT / "tests" / "support" / "tiny_model_maker.py"
# Rows of 64 and 96 numbers: blocks of 256 do not divide them, so the types with smaller blocks are tried as well.
TYPES = ("Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, environments: Environments) -> Iterator[App]:
    """Return an App with one tiny model of each family."""
    if reason := not_here(Registry(ROOT / "loaders").get("transformers"), environments):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("families")
    made_by("transformers", folder / "models", MAKER, *KINDS).rename(folder / "models")
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user"))
    yield app
    app.close()


@pytest.mark.usefixtures("short_answers")
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_in_full_precision_predicts_what_the_folder_predicts(app: App, kind: str) -> None:
    made = app.jobs.run(app.jobs.start(JobSpec("quantize", kind, method="gguf", settings={"type": "F32"})))["model"]
    settings = {"tokens": "256", "window": "128", "speed": "false"}
    found = app.jobs.run(app.jobs.start(JobSpec("evaluate", made, settings=settings, against=kind)))
    assert found["notes"] == []
    assert found["kl"] == pytest.approx(0, abs=1e-5)
    assert found["top1_agreement"] == 1


@pytest.mark.parametrize("kind", ["gpt2", "qwen2-tied", "mixtral"])
def test_types_and_bytes_are_llama_cpps(app: App, quantizers: GgufQuantizers, tmp_path: Path, kind: str) -> None:
    quantizers.assert_same(Case(app.paths.models / kind, tmp_path, TYPES))
