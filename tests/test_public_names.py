"""The package `paddock`: what authors of loaders and extensions import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import paddock

ROOT = Path(__file__).resolve().parent.parent

PUBLIC = {
    *("__version__", "program_folder"),
    *("ApiRequest", "Host", "SpeechRequest", "read_speech_request"),
    *("Claim", "Demand", "LoaderSpec", "Machine", "ModelFacts", "Variant", "setting"),
    *("AddressRefused", "PublicPage", "fetch_public"),
    *("Engine", "Generate", "ModelInfo", "Outcome", "Piece", "Report", "RerankResult", "SamplingParams", "StopFilter"),
    "fit_prompt",
    *("QuantizationMethod", "Quantize", "Quantized", "Quantizer"),
    *("ModelError", "OutOfMemory", "PaddockError", "PromptError", "SettingError", "Unsupported"),
}


def test_the_public_names_are_these() -> None:
    assert set(paddock.__all__) == PUBLIC
    assert all(getattr(paddock, name) is not None for name in PUBLIC)


def test_the_public_names_need_the_standard_library_only() -> None:
    """They are imported in a loader's environment too, where none of the host's packages is installed."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import paddock; print(*sys.modules)"
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True, check=True
    )
    tops = {name.split(".")[0] for name in answer.stdout.split()}
    assert tops - set(sys.stdlib_module_names) <= {"paddock", "modules", "__main__"}


def test_pyproject_names_the_version_that_the_program_shows() -> None:
    lines = (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
    assert f'version = "{paddock.__version__}"' in lines
    shown = subprocess.run(
        [sys.executable, "webui.py", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == ["Paddock", paddock.__version__]
