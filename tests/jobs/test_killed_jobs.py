"""Jobs of real engines that are killed in the middle: nothing is left in models/, and the job runs again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from modules.cli.application import build_app
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.settings.config import Config
from tests.support.environments import not_here
from tests.support.long_tests import takes_minutes

ROOT = Path(__file__).resolve().parent.parent.parent
_FEW = ["samples=8", "length=128"]


def _lines(host: subprocess.Popen[str]) -> Any:
    assert host.stdout is not None
    return (json.loads(line) for line in host.stdout)


@pytest.mark.parametrize(
    ("method", "loader", "victim"),
    [
        pytest.param("awq", "gptqmodel", "worker", id="awq, its worker"),
        pytest.param("w8a8", "llmcompressor", "host", id="w8a8, its host", marks=takes_minutes),
    ],
)
def test_a_killed_quantization_leaves_no_half_model_and_runs_again(
    environments: Environments, tmp_path: Path, method: str, loader: str, victim: str
) -> None:
    if reason := not_here(Registry(ROOT / "loaders").get(loader), environments):
        pytest.skip(reason)
    models = tmp_path / "models"
    models.mkdir()
    (models / "demo").symlink_to(ROOT / "models" / "demo")
    where = ["--json", "--no-venv", "--models", str(models), "--user-data", str(tmp_path / "user")]

    def webui(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "webui.py", *arguments, *where]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)

    host = webui("quantize", "demo", "--method", method, "--set", *_FEW)
    line = next(line for line in _lines(host) if line.get("job") and line["step"].startswith(("Quantiz", "Calibrat")))
    processes = psutil.Process(host.pid).children(recursive=True)
    worker = next(process for process in processes if "modules.worker" in process.cmdline())
    (host if victim == "host" else worker).send_signal(signal.SIGKILL)
    host.communicate()
    assert host.returncode != 0
    assert not psutil.wait_procs(processes, timeout=60)[1]
    app = build_app(Config(ROOT, port=0, models=models, user_data=tmp_path / "user"))
    try:
        job = app.jobs.job(line["job"])
        assert job.state.status == "failed"
        assert f"jobs resume {job.id}" in job.state.message
        assert job.state.message in app.jobs.log(job.id)
        assert [path.name for path in models.iterdir()] == ["demo"]
    finally:
        app.close()
    again = webui("jobs", "resume", line["job"])
    *_, last = _lines(again)
    assert again.wait() == 0
    assert last["type"] == "finished"
    assert sorted(path.name for path in models.iterdir()) == ["demo", last["model"]]
