"""A model's own code does not run without consent, tested with attack folders in each environment with Transformers.

The host's scan is skipped here, because the worker must refuse such code without it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.support.attacks import Attacks
from tests.support.environments import installed, not_here

ROOT = Path(__file__).resolve().parent.parent.parent
LOADERS = ("transformers", "hqq", "gptqmodel", "autogptq", "autoawq", "vllm")


def _load(loader: str, environments: Environments, folders: list[Path], consent: str) -> dict[str, str]:
    """Return folder -> the error of its load, or ""."""
    spec = Registry(ROOT / "loaders").get(loader)
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    variables = {
        "PADDOCK_TRUST_REMOTE_CODE": consent,
        "PADDOCK_TRUST_PICKLE": "",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    answer = subprocess.run(
        [str(installed(spec, environments)), "-m", "tests.support.load_in_worker", loader, *map(str, folders)],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    found = {entry["folder"]: entry["error"] for entry in map(json.loads, answer.stdout.splitlines())}
    assert set(found) == {folder.name for folder in folders}, answer.stderr[-3000:]
    return found


@pytest.mark.parametrize("loader", LOADERS)
def test_no_code_in_a_model_folder_runs_without_consent(
    loader: str, environments: Environments, tmp_path: Path
) -> None:
    attacks = Attacks(tmp_path)
    folders = attacks.write()
    errors = _load(loader, environments, folders, consent="")
    assert [folder.name for folder in folders if attacks.marker(folder.name).exists()] == []
    assert errors["unknown_type"] and errors["no_type"]
    if loader in ("transformers", "hqq"):
        # Transformers has the architecture, so the folder's code is not needed.
        assert errors["native_type"] == errors["native_type_trusting"] == errors["custom_generate"] == ""


@pytest.mark.parametrize(
    "loader, names",
    [("transformers", ("unknown_type",)), ("hqq", ("unknown_type", "nested_lightglue")), ("autogptq", ("gptq",))],
)
def test_the_same_code_runs_with_consent(
    loader: str, names: tuple[str, ...], environments: Environments, tmp_path: Path
) -> None:
    attacks = Attacks(tmp_path)
    folders = [folder for folder in attacks.write() if folder.name in names]
    _load(loader, environments, folders, consent="1")
    assert [name for name in names if not attacks.marker(name).exists()] == []
