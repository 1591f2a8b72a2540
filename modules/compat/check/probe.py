"""The work of one check, in its own process: loads an extension into a new App and builds the page.

It writes the results after each step, so that they are known if the extension hangs or ends the process.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from modules.app import App
from modules.compat import Scripts
from modules.compat.check import source
from modules.compat.check.absent import Absent
from modules.compat.check.facade_names import missing_names
from modules.compat.check.programs import Programs
from modules.plugins import requirements
from modules.plugins.extension_import import PACKAGE
from modules.plugins.folders import ENTRIES
from modules.protocol.errors import PaddockError
from modules.settings.config import Config
from modules.ui.page import build_page

_SKIPPED = (".git", "__pycache__", ".venv", "node_modules")


def main(task: dict[str, Any]) -> None:
    """Check one extension.

    `task`: `folder` of the extension; `place`, a folder to work in, for result.json; `root` of Paddock; `assume`: treat
    packages as installed.
    """
    # As if Paddock was started without flags: some scripts parse them.
    sys.argv = ["webui.py"]
    place, folder = Path(task["place"]), Path(task["folder"])
    found: dict[str, Any] = {"faults": []}

    def write(step: str, **more: object) -> None:
        found.update(more, step=step)
        (place / "next.json").write_text(json.dumps(found), encoding="utf-8")
        (place / "next.json").replace(place / "result.json")

    config = Config(Path(task["root"]), models=place / "models", user_data=place / "user_data")
    config.paths.models.mkdir(exist_ok=True)
    # The extension runs in a copy. Files that it writes there are deleted with it.
    copy = config.paths.extensions[1] / folder.name
    shutil.copytree(folder, copy, ignore=_not_copied, ignore_dangling_symlinks=True)
    entry = next(entry for entry in ENTRIES if (copy / entry).is_file())
    about = source.read(copy, entry, folder.name)
    app = App(config, Scripts)
    # Other installed extensions must not influence the result.
    app.extensions.roots = (copy.parent,)
    twin = _twin(config.paths.extensions[0], folder)
    if twin is not None and twin != folder:
        found["notes"] = [f"Paddock has an extension named {twin.name}: give this folder another name to install it."]
    missing, impossible = missing_names(app.scripts.facade, about) if entry == "script.py" else ([], [])
    write("loading", missing=missing, impossible=impossible, needs=about.needs())
    if task["assume"]:
        own = {f"{PACKAGE}.{folder.name}.{path.replace('/', '.')}" for path in about.unfetched}
        Absent(source.packages_of(copy) | own).install()
        programs: set[str] = set()

        def record_program(program: str) -> None:
            programs.add(program)
            found["needs"] = [*about.needs(), *(f"program:{name}" for name in sorted(programs))]

        app.scripts.redirect.replacements["subprocess"] = Programs(record_program)
        # In this process only: treat all requirements as installed.
        requirements.check = lambda texts, own: ()
    _load(app, folder.name, write, found)
    write("over", over=True)


def _not_copied(place: str, names: list[str]) -> list[str]:
    """Return names that are not copied: caches, and files that are not regular, such as pipes."""
    return [name for name in names if name in _SKIPPED or not _is_file_or_folder(Path(place, name))]


def _is_file_or_folder(path: Path) -> bool:
    return path.is_file() or path.is_dir()


def _twin(shipped: Path, folder: Path) -> Path | None:
    """Return the shipped extension with this folder's name, or None."""
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
        # A setup often needs something that a check lacks, such as a loaded model. Check the page without it.
        app.scripts.skipped_hooks = ("setup",)
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
