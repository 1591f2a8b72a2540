"""`webui.py extensions check`: does an extension run here, and if not, why? Each runs in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modules.child_environment import for_worker
from modules.config import Config
from modules.plugins.compat.check.verdict import Report, judge
from modules.plugins.folders import ENTRIES

_SECONDS = 90.0


def run(config: Config, paths: Sequence[Path], assume_packages: bool, as_json: bool, seconds: float = _SECONDS) -> int:
    """Judge each folder and print that; 0 if all of them work. Their code runs, with this user's rights."""
    reports = []
    for path in paths:
        report = check(config, path, assume_packages, seconds)
        reports.append(report)
        if not as_json:
            print(_in_words(report), flush=True)
    if as_json:
        print(json.dumps(reports, indent=1))
    return 0 if all(report["verdict"] == "works" for report in reports) else 1


def check(config: Config, path: Path, assume_packages: bool, seconds: float = _SECONDS) -> Report:
    """What becomes of one folder: name, imports, ui, hooks, missing, needs, verdict, why."""
    folder = path.resolve()
    if problem := _no_extension(folder, path):
        return judge(folder.name, {"problem": problem}, assume_packages)
    with tempfile.TemporaryDirectory(prefix="paddock-check-", ignore_cleanup_errors=True) as place:
        result = Path(place, "result.json")
        task = {"folder": str(folder), "place": place, "root": str(config.paths.root), "assume": assume_packages}
        process = subprocess.Popen(
            [sys.executable, "-m", "modules.plugins.compat.check.probe", json.dumps(task)],
            cwd=config.paths.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env={**for_worker(), "GRADIO_ANALYTICS_ENABLED": "False", "PYTHONDONTWRITEBYTECODE": "1"},
        )
        end: dict[str, Any] = {}
        try:
            end["exit"] = process.wait(seconds)
        except subprocess.TimeoutExpired:
            end["late"] = seconds
        finally:
            _end(process)
        with contextlib.suppress(OSError, ValueError):
            end = {**end, **json.loads(result.read_text(encoding="utf-8"))}
    return judge(folder.name, end, assume_packages)


def _no_extension(folder: Path, path: Path) -> str:
    """Why there is nothing to check; "" if there is."""
    if not folder.is_dir():
        return f"There is no folder at {path}. Give the folder that holds its script.py."
    if any((folder / entry).is_file() for entry in ENTRIES):
        return ""
    inner = sorted({file.parent.name for entry in ENTRIES for file in folder.glob(f"*/{entry}")})
    hint = f" There is one in {inner[0]}/: check that folder." if inner else ""
    return f"There is no script.py and no extension.py in it.{hint}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process with all that it started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _in_words(report: Report) -> str:
    lines = [f"{report['name']}: {report['verdict']}. {report['why']}"]
    if report["hooks"]:
        lines.append(f"  hooks: {', '.join(report['hooks'])}")
    lines += [f"  {key}: {', '.join(report[key])}" for key in ("missing", "needs") if report[key]]
    return "\n".join(lines)
