"""The rooms and the import directions of docs/architecture.md, and what the host must never import."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Room -> rooms whose code it may import. A room may always import itself. No room imports one that imports it.
ALLOWED: dict[str, set[str]] = {
    "modules.protocol": set(),
    "modules.system": {"modules.protocol"},
    "modules.files": {"modules.protocol"},
    "modules.families": {"modules.protocol"},
    "modules.worker": {"modules.families", "modules.protocol", "modules.system"},
    "modules.generation": {"modules.files", "modules.protocol", "modules.system"},
    "modules.settings": {"modules.files", "modules.generation", "modules.protocol"},
    "modules.library": {"modules.families", "modules.files", "modules.protocol", "modules.settings", "modules.system"},
    "modules.runtime": {"modules.files", "modules.generation", "modules.protocol", "modules.system"},
    "modules.plugins": {
        "modules.files",
        "modules.generation",
        "modules.protocol",
        "modules.settings",
        "modules.system",
    },
    "modules.loading": {
        "modules.files",
        "modules.library",
        "modules.plugins",
        "modules.protocol",
        "modules.runtime",
        "modules.settings",
        "modules.system",
    },
    "modules.jobs": {
        "modules.families",
        "modules.worker.gguf",
        "modules.files",
        "modules.library",
        "modules.loading",
        "modules.protocol",
        "modules.runtime",
        "modules.settings",
        "modules.system",
    },
    "modules.chat": {
        "modules.families",
        "modules.files",
        "modules.generation",
        "modules.plugins",
        "modules.protocol",
        "modules.runtime",
        "modules.settings",
        "modules.system",
    },
    "modules.app": {
        "modules.chat",
        "modules.files",
        "modules.generation",
        "modules.jobs",
        "modules.library",
        "modules.loading",
        "modules.plugins",
        "modules.protocol",
        "modules.runtime",
        "modules.settings",
        "modules.system",
    },
    "modules.ui": {
        "modules.app",
        "modules.chat",
        "modules.files",
        "modules.generation",
        "modules.jobs",
        "modules.library",
        "modules.loading",
        "modules.plugins",
        "modules.protocol",
        "modules.runtime",
        "modules.settings",
        "modules.system",
    },
    # The facade for others' extensions stands before all of Paddock, as they expect; only the command line imports it.
    "modules.compat": {
        "modules.app",
        "modules.chat",
        "modules.files",
        "modules.plugins",
        "modules.protocol",
        "modules.runtime",
        "modules.settings",
        "modules.system",
        "modules.ui",
        "modules.worker",
    },
    "modules.api": {
        "modules.app",
        "modules.chat",
        "modules.families",
        "modules.files",
        "modules.generation",
        "modules.plugins",
        "modules.protocol",
        "modules.runtime",
        "modules.settings",
        "modules.system",
        "modules.ui",
    },
    "modules.cli": {
        "modules.api",
        "modules.app",
        "modules.chat",
        "modules.compat",
        "modules.files",
        "modules.generation",
        "modules.jobs",
        "modules.library",
        "modules.loading",
        "modules.plugins",
        "modules.protocol",
        "modules.runtime",
        "modules.settings",
        "modules.system",
        # How Gradio is imported.
        "modules.ui.gradio_internals",
    },
}
# Files of a loader that the host reads.
DECLARATIONS = ("spec", "quantization", "variants")
# A worker's loop runs with whatever its environment holds; the engines' own rooms in it need their engine.
STANDARD_ONLY = ("modules.protocol", "modules.system", "modules.families", "modules.worker")
ENGINE_ROOMS = ("modules.worker.hf", "modules.worker.llama")
# Every environment has jinja2, as chat templates are written in it.
ALSO_NEEDED = {"modules.worker.chat_template": {"jinja2"}, "modules.worker.template_process": {"jinja2"}}


@cache
def _modules() -> dict[str, Path]:
    found = {}
    for folder in ("modules", "loaders"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
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
    return next((room for room in ALLOWED if _within(name, room)), "")


@pytest.mark.parametrize("name", [name for name in _modules() if name.startswith("modules.")])
def test_a_room_imports_only_what_the_table_allows(name: str) -> None:
    room = _room(name)
    assert room, f"{name} is in no room of the table"
    for imported in _imports(_modules()[name]):
        if imported.split(".")[0] in ("modules", "loaders") and not _within(imported, room):
            assert any(_within(imported, allowed) for allowed in ALLOWED[room]), f"{name} imports {imported}"


@pytest.mark.parametrize("name", [name for name in _modules() if name.startswith("loaders.") and name.count(".") == 2])
def test_a_loader_keeps_its_spec_apart_from_its_engine(name: str) -> None:
    loader, part = name.rsplit(".", 1)
    for imported in _imports(_modules()[name]):
        if imported.split(".")[0] not in ("modules", "loaders"):
            declares = part in DECLARATIONS
            assert not declares or imported.split(".")[0] in sys.stdlib_module_names, f"{name} imports {imported}"
            continue
        allowed = ["modules.protocol", "modules.families"]
        if part == "spec":
            allowed += [f"{loader}.quantization", f"{loader}.variants"]
        elif part not in DECLARATIONS:
            allowed += ["modules.worker", loader]
        if loader == "loaders.remote" and part == "worker":
            allowed.append("modules.files.data_files")  # the host's Python runs it
        assert any(_within(imported, room) for room in allowed), f"{name} imports {imported}"


def _of_the_standard_library() -> list[str]:
    found = (name for name in _modules() if any(_within(name, room) for room in STANDARD_ONLY))
    return [name for name in found if not any(_within(name, room) for room in ENGINE_ROOMS)]


@pytest.mark.parametrize("name", _of_the_standard_library())
def test_rooms_of_the_standard_library_need_nothing_else(name: str) -> None:
    allowed = {"modules", *ALSO_NEEDED.get(name, ())}
    for imported in _imports(_modules()[name]):
        top = imported.split(".")[0]
        assert top in allowed or top in sys.stdlib_module_names, f"{name} imports {imported}"


def test_no_room_of_the_table_leads_back_to_itself() -> None:
    for room in ALLOWED:
        reached, ahead = set[str](), [room]
        while ahead:
            for allowed in ALLOWED.get(ahead.pop(), ()):
                if allowed not in reached:
                    reached.add(allowed)
                    ahead.append(allowed)
        assert room not in reached


def test_threads_of_the_host_are_made_where_an_unexpected_exception_is_heard() -> None:
    apart = ("modules.system.threads", "modules.worker", "modules.plugins.hook_threads")
    for name, path in _modules().items():
        if not name.startswith("modules.") or any(_within(name, room) for room in apart):
            continue
        calls = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call))
        made = {getattr(call.func, "attr", getattr(call.func, "id", "")): call.lineno for call in calls}
        for maker in ("Thread", "ThreadPoolExecutor", "start_new_thread"):
            assert maker not in made, f"{name}:{made[maker]} starts a thread: use modules.system.threads.host_thread"


def test_no_import_hides_its_arrow_in_a_string() -> None:
    # Loaders and parts of the facade are chosen by name. A name that is written out is an import statement's.
    for name, path in _modules().items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
                written = node.args[0].value if isinstance(node.args[0], ast.Constant) else ""
                assert not str(written).startswith(("modules", "loaders")), f"{name}:{node.lineno}"


def test_no_file_imports_itself_through_others() -> None:
    modules = _modules()
    graph = {name: _files(name, path, modules) for name, path in modules.items()}
    TopologicalSorter(graph).prepare()  # CycleError names the files of a circle
    assert len(graph) > 200


def _files(name: str, path: Path, modules: dict[str, Path]) -> set[str]:
    """The files that a file imports, also `from package import file`, and inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            found.update(full if full in modules else str(node.module) for full in names)
    return {other for other in found if other in modules and other != name}


def test_the_host_imports_no_torch() -> None:
    code = "import sys, modules.api.server, modules.cli.commands; print(*sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in answer.stdout.split()}
    assert not loaded & {"torch", "transformers", "llama_cpp", "xllamacpp", "exllamav2"}


def test_importing_starts_nothing() -> None:
    code = "import threading, modules.api.server, modules.cli.commands; print(*[t.name for t in threading.enumerate()])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["MainThread"]


MOST_ROOMS = 26
LONGEST_FILE = 300


def _code_files() -> list[Path]:
    """Return the files with code that git knows, relative to the root."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    paths = (Path(line) for line in listed.stdout.splitlines())
    return [path for path in paths if path.suffix in (".py", ".js", ".css") and (ROOT / path).is_file()]


def _rooms() -> set[str]:
    """Return the rooms: the folders and files in modules/, and the other folders and files with code at the top."""
    found = set()
    for path in _code_files():
        depth = 2 if path.parts[0] == "modules" else 1
        if path.name != "__init__.py" or len(path.parts) > depth:
            found.add("/".join(path.parts[:depth]) + ("/" if len(path.parts) > depth else ""))
    return found


def _architecture() -> str:
    return (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_every_room_has_a_row_in_the_docs_and_every_row_a_room() -> None:
    table = _architecture().partition("## Rooms")[2].partition("##")[0]
    assert _rooms() == set(re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE))


def test_there_are_few_enough_rooms_to_know_them_all() -> None:
    assert len(_rooms()) <= MOST_ROOMS, sorted(_rooms())


def test_the_docs_name_only_files_that_exist() -> None:
    named = re.findall(r"`((?:\w+/)+[\w.]+\.(?:py|js)|webui\.py)`", _architecture())
    assert len(named) > 20
    for name in named:
        assert any((ROOT / parent / name).exists() for parent in ("", "modules", "modules/ui")), name


def test_files_are_short_enough_to_be_read_in_one_go() -> None:
    paths = [path for path in _code_files() if path.parts[0] not in ("tests", "models")]
    lines = {path.as_posix(): (ROOT / path).read_text(encoding="utf-8").count("\n") for path in paths}
    too_long = {name: count for name, count in lines.items() if count > LONGEST_FILE}
    assert not too_long
