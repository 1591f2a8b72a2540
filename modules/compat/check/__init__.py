"""`webui.py extensions check`: does an extension run here, and if not, why? Each runs in a process of its own."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modules.compat.check.check_process import Checkers
from modules.compat.check.verdict import Report, judge
from modules.plugins.folders import entry_folders
from modules.settings.config import Config

_SECONDS = 90.0


def run(config: Config, paths: Sequence[Path], assume_packages: bool, as_json: bool, seconds: float = _SECONDS) -> int:
    """Judge each folder and print that; 0 if all of them work. Their code runs, with this user's rights."""
    reports = []
    with Checkers(config.paths.root) as checkers:
        for path in paths:
            report = check(config, path, assume_packages, seconds, checkers)
            reports.append(report)
            if not as_json:
                print(_in_words(report), flush=True)
    if as_json:
        print(json.dumps(reports, indent=1))
    return 0 if all(report["verdict"] == "works" for report in reports) else 1


def check(
    config: Config, path: Path, assume_packages: bool, seconds: float = _SECONDS, checkers: Checkers | None = None
) -> Report:
    """What becomes of one folder: name, folder (what was taken of it), imports, ui, hooks, missing, needs, verdict,
    why."""
    if checkers is None:
        with Checkers(config.paths.root) as checkers:
            return check(config, path, assume_packages, seconds, checkers)
    whole = path.resolve()
    if not whole.is_dir():
        problem = f"There is no folder at {path}. Give the folder that holds its script.py."
        return judge(whole.name, "", {"problem": problem}, assume_packages)
    places = entry_folders(whole)
    if not places:
        problem = "There is no script.py and no extension.py in it, nor in the folders in it."
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
        end: dict[str, Any] = {**checkers.run(task), "others": others}
        with contextlib.suppress(OSError, ValueError):
            end = {**end, **json.loads(Path(place, "result.json").read_text(encoding="utf-8"))}
    return judge(whole.name, inner, end, assume_packages)


def _in_words(report: Report) -> str:
    lines = [f"{report['name']}: {report['verdict']}. {report['why']}"]
    if report["hooks"]:
        lines.append(f"  hooks: {', '.join(report['hooks'])}")
    lines += [f"  {key}: {', '.join(report[key])}" for key in ("missing", "needs") if report[key]]
    return "\n".join(lines)
