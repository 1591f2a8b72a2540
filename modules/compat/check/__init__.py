"""`webui.py extensions check` says whether an extension runs here, and if not, why. Each runs in its own process."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modules.compat.check.check_process import run_in_process
from modules.compat.check.verdict import Report, judge
from modules.plugins.folders import entry_folders
from modules.settings.config import Config

_SECONDS = 90.0


def run(config: Config, paths: Sequence[Path], assume_packages: bool, as_json: bool, seconds: float = _SECONDS) -> int:
    """Check each folder and print the reports. Return 0 if all extensions work. Their code runs with your rights."""
    reports = []
    for path in paths:
        report = check(config, path, assume_packages, seconds)
        reports.append(report)
        if not as_json:
            print(_as_text(report), flush=True)
    if as_json:
        print(json.dumps(reports, indent=1))
    return 0 if all(report["verdict"] == "works" for report in reports) else 1


def check(config: Config, path: Path, assume_packages: bool, seconds: float = _SECONDS) -> Report:
    """Return the report on the extension in a folder.

    `assume_packages`: treat packages and programs that are not installed as present. `seconds`: the time limit.
    """
    whole = path.resolve()
    if not whole.is_dir():
        problem = f"There is no folder at {path}. Give the folder that holds its script.py."
        return judge(whole.name, "", {"problem": problem}, assume_packages)
    places = entry_folders(whole)
    if not places:
        problem = (
            "There is no script.py and no extension.py in it, nor in its folders. Give the folder of an extension."
        )
        return judge(whole.name, "", {"problem": problem}, assume_packages)
    folder = places[0]
    inner = "" if folder == whole else folder.relative_to(whole).as_posix()
    others = [place.relative_to(whole).as_posix() for place in places[1:]]
    with tempfile.TemporaryDirectory(prefix="paddock-check-", ignore_cleanup_errors=True) as place:
        task = {
            "folder": str(folder),
            "place": place,
            "root": str(config.paths.root),
            "assume": assume_packages,
            "seconds": seconds,
        }
        end: dict[str, Any] = {**run_in_process(task), "others": others}
        with contextlib.suppress(OSError, ValueError):
            end = {**end, **json.loads(Path(place, "result.json").read_text(encoding="utf-8"))}
    return judge(whole.name, inner, end, assume_packages)


def _as_text(report: Report) -> str:
    lines = [f"{report['name']}: {report['verdict']}. {report['why']}"]
    if report["hooks"]:
        lines.append(f"  hooks: {', '.join(report['hooks'])}")
    lines += [f"  {key}: {', '.join(report[key])}" for key in ("missing", "needs") if report[key]]
    return "\n".join(lines)
