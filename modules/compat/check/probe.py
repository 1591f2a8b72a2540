"""The throw-away process of a check: loads one extension into an App of its own, builds the page, and writes down what
became of it after each step, so that something is known of one that hangs or ends the process."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from modules.app import App
from modules.compat import Scripts
from modules.compat.check import source
from modules.compat.check.absent import Absent
from modules.compat.check.facade_names import lacking
from modules.compat.check.programs import Programs
from modules.plugins import requirements
from modules.plugins.extension_import import PACKAGE
from modules.plugins.folders import ENTRIES
from modules.protocol.errors import PaddockError
from modules.settings.config import Config
from modules.ui.page import build_page

_SKIPPED = (".git", "__pycache__", ".venv", "node_modules")


def main(task: dict[str, Any]) -> None:
    """`folder`: the extension's; `place`: where to work and to write result.json; `root`: Paddock's; `assume`: whether
    packages count as installed."""
    # As a start of Paddock without flags: some scripts parse them.
    sys.argv = ["webui.py"]
    place, folder = Path(task["place"]), Path(task["folder"])
    found: dict[str, Any] = {"faults": []}

    def write(step: str, **more: Any) -> None:
        found.update(more, step=step)
        (place / "next.json").write_text(json.dumps(found), encoding="utf-8")
        (place / "next.json").replace(place / "result.json")

    config = Config(Path(task["root"]), models=place / "models", user_data=place / "user_data")
    config.paths.models.mkdir(exist_ok=True)
    # It works in a copy: what it writes beside itself is gone with it.
    copy = config.paths.extensions[1] / folder.name
    shutil.copytree(folder, copy, ignore=_left_out, ignore_dangling_symlinks=True)
    entry = next(entry for entry in ENTRIES if (copy / entry).is_file())
    about = source.read(copy, entry, folder.name)
    app = App(config, Scripts)
    # What is installed here has no part in it, as it has none on another machine.
    app.extensions.roots = (copy.parent,)
    twin = _twin(config.paths.extensions[0], folder)
    if twin is not None and twin != folder:
        found["notes"] = [f"Paddock has an extension named {twin.name}: give this folder another name to install it."]
    missing, impossible = lacking(app.scripts.facade, about) if entry == "script.py" else ([], [])
    write("loading", missing=missing, impossible=impossible, needs=about.needs())
    if task["assume"]:
        own = {f"{PACKAGE}.{folder.name}.{path.replace('/', '.')}" for path in about.unfetched}
        Absent(source.packages_of(copy) | own).install()
        programs: set[str] = set()

        def lacks(program: str) -> None:
            programs.add(program)
            found["needs"] = [*about.needs(), *(f"program:{name}" for name in sorted(programs))]

        app.scripts.redirect.instead["subprocess"] = Programs(lacks)
        # In this process alone: nothing that its requirements ask for is missing.
        requirements.check = lambda texts, own: ()
    _load(app, folder.name, write, found)
    write("over", over=True)


def _left_out(place: str, names: list[str]) -> list[str]:
    """What is not copied of a folder: caches, and files that are none, such as pipes."""
    return [name for name in names if name in _SKIPPED or not _is_file_or_folder(Path(place, name))]


def _is_file_or_folder(path: Path) -> bool:
    return path.is_file() or path.is_dir()


def _twin(shipped: Path, folder: Path) -> Path | None:
    """The extension beside Paddock that has this folder's name, if there is one."""
    name = folder.name.casefold()
    return next((path.resolve() for path in shipped.glob("*/") if path.name.casefold() == name), None)


def _load(app: App, name: str, write: Any, found: dict[str, Any]) -> None:
    manager = app.extensions
    entry = manager.find(name)
    try:
        manager.enable(name, entry.sha256)
    except PaddockError as error:
        fault = manager.failures.get(name)
        found["faults"].append(_sentence(error))
        write("loading", imports=bool(fault and fault.hook != "load"))
        if fault is None or fault.hook != "setup":
            return
        # Many a setup asks for what a check has not, such as a loaded model; the page is judged all the same.
        app.scripts.left_out = ("setup",)
        manager.enable(name, entry.sha256)
    running = manager.running.get(name)
    assert running is not None
    hooks = [*running.impls, *(running.worker[1] if running.worker else ())]
    write("building its components", imports=True, hooks=sorted(hooks))
    build_page(app)
    fault = manager.failures.get(name)
    if fault is not None:
        found["faults"].append(fault.message)
    write("over", ui=fault is None or fault.hook != "ui")


def _sentence(error: PaddockError) -> str:
    last = (error.detail or "").strip().splitlines()[-1:] or [""]
    return error.message if last[0].partition(":")[2].strip() in error.message else f"{error.message} ({last[0]})"


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
    # Threads that it started do not hold up the end.
    os._exit(0)
