"""The import table of docs/architecture.md, and what the host must never import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Room -> rooms whose code it may import. A room may always import itself.
ALLOWED = {
    "modules.protocol": set(),
    "modules.worker": {"modules.protocol"},
    "modules.paths": {"modules.protocol"},
    "modules.child_environment": {"modules.runtime.interpreter"},
    "modules.private_files": set(),
    "modules.yaml_tree": set(),
    "modules.data_files": {"modules.protocol", "modules.yaml_tree"},
    "modules.listeners": set(),
    "modules.threads": {"modules.protocol"},
    "modules.runtime.pip_config": set(),
    "modules.runtime.interpreter": set(),
    "modules.generation": {"modules.protocol", "modules.paths", "modules.data_files"},
    "modules.library": {
        "modules.protocol",
        "modules.paths",
        "modules.threads",
        "modules.settings",
        "modules.data_files",
    },
    "modules.runtime": {
        "modules.protocol",
        "modules.setup_lock",
        "modules.paths",
        "modules.listeners",
        "modules.threads",
        "modules.generation",
        "modules.data_files",
        "modules.child_environment",
    },
    "modules.plugins": {
        "modules.child_environment",
        "modules.protocol",
        "modules.paths",
        "modules.data_files",
        "modules.listeners",
        "modules.threads",
        "modules.settings",
        "modules.generation",
        "modules.runtime.pip_config",
        "modules.version",
    },
    "modules.chat": {
        "modules.private_files",
        "modules.protocol",
        "modules.paths",
        "modules.threads",
        "modules.data_files",
        "modules.generation",
        "modules.runtime",
        "modules.library",
        "modules.plugins",
    },
    "modules.bootstrap": {
        "modules.runtime.pip_config",
        "modules.runtime.interpreter",
        "modules.setup_lock",
        "modules.child_environment",
    },
    "modules.setup_lock": set(),
    "modules.config": {"modules.protocol", "modules.paths"},
    "modules.settings": {"modules.protocol", "modules.paths", "modules.data_files"},
    "modules.preferences": {"modules.settings"},
    "modules.terminal": set(),
    "modules.signals": set(),
    "modules.host_environment": set(),
    "modules.version": set(),
}
# These compose the rest: page, API, command line, App.
COMPOSERS = (
    "modules.app",
    "modules.adapters",
    "modules.model_loading",
    "modules.own_loaders",
    "modules.planning",
    "modules.reloading",
    # The facade for others' extensions stands before all of Paddock, as they expect; nothing of ours imports it.
    "modules.plugins.compat",
    "modules.api",
    "modules.ui",
    "modules.cli",
    "modules.commands",
    "modules.download_command",
    "modules.extension_commands",
    "modules.serving",
)
STANDARD_ONLY = (
    "modules.child_environment",
    "modules.protocol",
    "modules.bootstrap",
    "modules.setup_lock",
    "modules.runtime.pip_config",
    "modules.runtime.interpreter",
)


def _modules() -> dict[str, Path]:
    found = {}
    for folder in ("modules", "loaders"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def _within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def _room(name: str) -> str:
    rooms = [room for room in (*ALLOWED, *COMPOSERS) if _within(name, room)]
    return max(rooms, key=len, default="")


@pytest.mark.parametrize("name", [name for name in _modules() if name.startswith("modules.")])
def test_a_room_imports_only_what_the_table_allows(name: str) -> None:
    room = _room(name)
    assert room, f"{name} is in no room of the table"
    if room in COMPOSERS:
        return
    for imported in _imports(_modules()[name]):
        if imported.split(".")[0] in ("modules", "loaders") and not _within(imported, room):
            assert any(_within(imported, allowed) for allowed in ALLOWED[room]), f"{name} imports {imported}"


@pytest.mark.parametrize("name", [name for name in _modules() if name.startswith("loaders.") and name.count(".") == 2])
def test_a_loader_keeps_its_spec_apart_from_its_engine(name: str) -> None:
    loader, part = name.rsplit(".", 1)
    for imported in _imports(_modules()[name]):
        if imported.split(".")[0] not in ("modules", "loaders"):
            assert part != "spec" or imported.split(".")[0] in sys.stdlib_module_names, f"{name} imports {imported}"
            continue
        allowed = ("modules.protocol",) if part == "spec" else ("modules.protocol", "modules.worker", loader)
        if loader == "loaders.remote" and part == "worker":
            allowed = (*allowed, "modules.data_files")  # the host's Python runs it
        assert any(_within(imported, room) for room in allowed), f"{name} imports {imported}"


@pytest.mark.parametrize("name", [name for name in _modules() if any(_within(name, room) for room in STANDARD_ONLY)])
def test_rooms_of_the_standard_library_need_nothing_else(name: str) -> None:
    for imported in _imports(_modules()[name]):
        top = imported.split(".")[0]
        assert top == "modules" or top in sys.stdlib_module_names, f"{name} imports {imported}"


def test_threads_of_the_host_are_made_where_an_unexpected_exception_is_heard() -> None:
    apart = ("modules.threads", "modules.worker", "modules.plugins.guard")
    for name, path in _modules().items():
        if not name.startswith("modules.") or any(_within(name, room) for room in apart):
            continue
        calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
        made = {getattr(call.func, "attr", getattr(call.func, "id", "")): call.lineno for call in calls}
        for maker in ("Thread", "ThreadPoolExecutor", "start_new_thread"):
            assert maker not in made, f"{name}:{made[maker]} starts a thread: use modules.threads.host_thread"


def test_nobody_but_webui_imports_the_command_line() -> None:
    for name, path in _modules().items():
        assert name == "modules.cli" or "modules.cli" not in _imports(path), name


def test_the_host_imports_no_torch() -> None:
    code = "import sys, modules.api.server, modules.commands; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in answer.stdout.split()}
    assert not loaded & {"torch", "transformers", "llama_cpp", "xllamacpp", "exllamav2"}


def test_importing_starts_nothing() -> None:
    code = "import threading, modules.api.server, modules.commands; print(*[t.name for t in threading.enumerate()])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["MainThread"]
