"""Attacks on consent: code that would run although the user agreed to other code."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import marshal
import os
import sys
import zipfile
import zipimport
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from modules.plugins.code_files import code_files, fingerprint, importable
from modules.protocol.errors import PaddockError
from modules.worker.hook_runner import Hooks
from tests.plugins.conftest import Place, write_extension
from tests.plugins.test_manager import said

HONEST, EVIL = "WORD = 'honest'", "WORD = 'evil!!'"
ASKS = "def input_modifier(string):\n    return WORD"


def bytecode(source: Path, code: str, kind: str) -> bytes:
    """Return bytecode of other code that Python would take for the compiled `source`."""
    about = source.stat() if source.exists() else None
    flags, rest = 0, [int(about.st_mtime), about.st_size] if about else [0, 0]
    if kind == "unchecked hash":
        flags, rest = 1, [0, 0]
    elif kind == "checked hash":
        return (
            importlib.util.MAGIC_NUMBER
            + (3).to_bytes(4, "little")
            + importlib.util.source_hash(source.read_bytes())
            + marshal.dumps(compile(code, str(source), "exec"))
        )
    head = b"".join(number.to_bytes(4, "little") for number in (flags, *rest))
    return importlib.util.MAGIC_NUMBER + head + marshal.dumps(compile(code, str(source), "exec"))


def forge(source: Path, code: str = EVIL, kind: str = "time and size") -> None:
    """Write other code into the bytecode cache of a source file."""
    cached = Path(importlib.util.cache_from_source(str(source)))
    cached.parent.mkdir(exist_ok=True)
    cached.write_bytes(bytecode(source, code, kind))


ON_PATH = "import os, runpy, sys\nsys.path.insert(0, os.path.dirname(__file__))\n"
BY_PATH = """
import importlib.util, os
spec = importlib.util.spec_from_file_location("pkd_x", os.path.join(os.path.dirname(__file__), "helper.py"))
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
WORD = module.WORD
"""
BY_LOADER = """
import importlib.machinery, os
place = os.path.join(os.path.dirname(__file__), "helper.py")
WORD = importlib.machinery.SourceFileLoader("pkd_y", place).load_module().WORD
"""
# Ways to import a module of the extension, and the file with its WORD.
WAYS = {
    "the main file": (HONEST, "extension.py"),
    "a file beside it": ("from .helper import WORD", "helper.py"),
    "a file in a package": ("from .inner.deep.helper import WORD", "inner/deep/helper.py"),
    "a package": ("from .inner import WORD", "inner/__init__.py"),
    "Python's path": (f"{ON_PATH}from pkd_helper import WORD", "pkd_helper.py"),
    "a path to a file": (BY_PATH, "helper.py"),
    "a loader of Python's": (BY_LOADER, "helper.py"),
    "a program run in place": (f"{ON_PATH}WORD = runpy.run_module('pkd_run')['WORD']", "pkd_run.py"),
}


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Remove what tests add to Python's path and modules."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.startswith("pkd_")]:
        del sys.modules[name]


def written(root: Path, way: str) -> Path:
    """Write an extension named "mine", and return the file with its WORD."""
    code, file = WAYS[way]
    folder = write_extension(root, "mine", f"{code}\n{ASKS}")
    path = folder / file
    if file != "extension.py":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(HONEST)
    return path


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", ["time and size", "unchecked hash", "checked hash"])
@pytest.mark.parametrize("way", WAYS)
def test_cached_bytecode_is_never_read(place: Place, way: str, kind: str) -> None:
    path = written(place.root, way)
    agreed = place.manager.find("mine").sha256
    forge(path, path.read_text().replace("honest", "evil!!"), kind)
    place.manager.enable("mine", agreed)
    assert said(place) == "honest"


@pytest.mark.parametrize("file", ["helper.pyc", "helper/__init__.pyc", "__pycache__/helper.pyc"])
def test_bytecode_without_a_source_is_never_run(place: Place, file: str) -> None:
    package = ".__pycache__.helper" if "cache" in file else ".helper"
    folder = write_extension(place.root, "mine", f"from {package} import WORD\n{ASKS}")
    path = folder / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(bytecode(path, EVIL, "time and size"))
    with pytest.raises(PaddockError, match="bytecode"):
        place.manager.enable("mine", place.manager.find("mine").sha256)


CODE_PLACES = [
    "helper.py",
    "helper.PY",
    "helper.pyw",
    "helper.pyc",
    "inner/helper.py",
    "node_modules/helper.py",
    "node_modules/one/node_modules/two/helper.py",
    ".hidden/helper.py",
    ".venv/lib/python3/site-packages/helper.py",
    ".git/helper.py",
    "__pycache__/helper.py",
    "__pycache__/helper.so",
    "_native.so",
    "_native.cpython-311-x86_64-linux-gnu.so",
    "_native.abi3.so",
    "libnative.so.1",
    "native.dll",
    "native.pyd",
    "lib.zip",
    "lib.egg",
    "lib.whl",
    "app.pyz",
    "page.js",
    "page.css",
    "run.sh",
    "requirements.txt",
    "extension.yaml",
    "more.pth",
    "setup.cfg",
    "pyproject.toml",
]


@pytest.mark.parametrize("file", CODE_PLACES)
@pytest.mark.parametrize("change", ["other", "new", "gone"])
def test_consent_ends_if_any_code_changes(tmp_path: Path, file: str, change: str) -> None:
    folder = write_extension(tmp_path, "mine", "X = 1")
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if change != "new":
        path.write_bytes(b"title: one")
    before = fingerprint(code_files(folder))
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(b"title: two")
    assert fingerprint(code_files(folder)) != before


@pytest.mark.parametrize("file", ["notes.txt", "data.json", "history.db", "out.png", "__pycache__/x.cpython-311.pyc"])
def test_data_and_caches_change_nothing(tmp_path: Path, file: str) -> None:
    folder = write_extension(tmp_path, "mine", "X = 1")
    before = fingerprint(code_files(folder))
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(b"x")
    assert fingerprint(code_files(folder)) == before


@pytest.mark.parametrize("name", ["helper.py", "inner"])
def test_a_link_that_leads_elsewhere_than_agreed_asks_again(tmp_path: Path, name: str) -> None:
    folder = write_extension(tmp_path, "mine", "X = 1")
    for place in ("one", "two"):
        (folder / place).mkdir()
        (folder / place / "a.py").write_text(place)
    target = "{}/a.py" if name == "helper.py" else "{}"
    (folder / name).symlink_to(target.format("one"))
    before = fingerprint(code_files(folder))
    (folder / name).unlink()
    (folder / name).symlink_to(target.format("two"))
    assert fingerprint(code_files(folder)) != before


def test_links_within_the_folder_can_be_imported_from(place: Place) -> None:
    folder = write_extension(place.root, "mine", f"from .alias.a import WORD\nfrom .single import OTHER\n{ASKS}")
    (folder / "real").mkdir()
    (folder / "real" / "a.py").write_text(HONEST)
    (folder / "other.txt").write_text("OTHER = 1")
    (folder / "alias").symlink_to("real")
    (folder / "single.py").symlink_to("other.txt")
    place.manager.enable("mine", place.manager.find("mine").sha256)
    assert said(place) == "honest"


def test_a_changed_file_with_the_same_size_and_time_is_noticed(tmp_path: Path) -> None:
    folder = write_extension(tmp_path, "mine", HONEST)
    path = folder / "extension.py"
    os.utime(path, ns=(10**9, 10**9))
    before = fingerprint(code_files(folder))
    path.write_text(EVIL)
    os.utime(path, ns=(10**9, 10**9))
    assert fingerprint(code_files(folder)) != before


LATE = """
import os, sys
sys.path.insert(0, os.path.dirname(__file__))
def input_modifier(string):
    try:
        {statement}
    except ImportError as error:
        return str(error)
    return WORD
"""


def tamper_zip(path: Path) -> None:
    """Replace a zip file by one with another module."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("pkd_zipped.py", EVIL)


LATER: dict[str, tuple[str, str, Callable[[Path], object]]] = {
    "changed": ("from pkd_late import WORD", "pkd_late.py", lambda path: path.write_text(EVIL)),
    "new": ("from pkd_new import WORD", "pkd_new.py", lambda path: path.write_text(EVIL)),
    "native": ("import pkd_native", "pkd_native.so", lambda path: path.write_bytes(b"\x7fELF")),
    "zip": (
        "sys.path.insert(0, os.path.dirname(__file__) + '/pkd.zip')\n        from pkd_zipped import WORD",
        "pkd.zip",
        tamper_zip,
    ),
    "zip by another name": (
        "sys.path.insert(0, os.path.dirname(__file__) + '/pkd.data')\n        from pkd_zipped import WORD",
        "pkd.data",
        tamper_zip,
    ),
}


@pytest.mark.parametrize("way", LATER)
def test_files_changed_while_running_are_not_imported(place: Place, way: str) -> None:
    statement, file, change = LATER[way]
    folder = write_extension(place.root, "mine", LATE.format(statement=statement))
    if way == "changed":
        (folder / file).write_text(HONEST)
    place.manager.enable("mine", place.manager.find("mine").sha256)
    change(folder / file)
    importlib.invalidate_caches()
    words = said(place)
    assert "evil" not in words
    assert "that you allowed" in words or (file.startswith("pkd.") and "No module named" in words)


def test_a_zip_file_with_consent_can_be_imported(place: Place) -> None:
    statement, file, _ = LATER["zip"]
    folder = write_extension(place.root, "mine", LATE.format(statement=statement))
    with zipfile.ZipFile(folder / file, "w") as archive:
        archive.writestr("pkd_zipped.py", HONEST)
    place.manager.enable("mine", place.manager.find("mine").sha256)
    assert said(place) == "honest"


def test_no_cache_is_written_beside_the_code(place: Place) -> None:
    path = written(place.root, "a file in a package")
    place.manager.enable("mine", place.manager.find("mine").sha256)
    assert said(place) == "honest" and not list(path.parents[2].rglob("*.pyc"))


def test_pythons_import_loaders_are_not_changed(place: Place) -> None:
    loaders = (
        (importlib.machinery.SourceFileLoader, "get_code"),
        (importlib.machinery.SourcelessFileLoader, "get_code"),
        (importlib.machinery.ExtensionFileLoader, "create_module"),
        (zipimport.zipimporter, "__init__"),
    )
    before = [getattr(owner, name) for owner, name in loaders]
    place.add("mine", f"{HONEST}\n{ASKS}")
    assert [getattr(owner, name) for owner, name in loaders] != before
    place.manager.close()
    assert [getattr(owner, name) for owner, name in loaders] == before


def test_the_worker_reads_no_bytecode_and_no_changed_file(tmp_path: Path) -> None:
    code = "from .inner.words import NUMBER\ndef logits_modifier(logits):\n    return logits + NUMBER"
    folder = write_extension(tmp_path, "mine", "", worker_py=code)
    (folder / "inner").mkdir()
    inner = folder / "inner" / "words.py"
    inner.write_text("NUMBER = 1")
    files = code_files(folder)
    faults: list[Any] = []
    hooks = Hooks(faults.append, cast(Any, None))
    entry = {
        "name": "mine",
        "path": str(folder / "worker.py"),
        "kind": "worker.py",
        "settings": {},
        "folder": str(folder),
        "files": importable(files),
        "sha256": fingerprint(files),
    }
    forge(inner, "NUMBER = 2")
    forge(folder / "worker.py", "def logits_modifier(logits):\n    return logits + 3")

    def changed() -> float:
        change = hooks.logits(list, lambda tokens: tokens)
        return float(change(_Number(0)).value) if change else -1.0

    try:
        assert hooks.configure([entry]) == ["mine"] and changed() == 1
        inner.write_text("NUMBER = 4")
        (folder / "worker.py").write_text("raise RuntimeError('changed')")
        assert hooks.configure([entry]) == ["mine"] and changed() == 1
        assert hooks.configure([{**entry, "sha256": "other"}]) == []
        assert "has changed since" in faults[0].message
    finally:
        hooks._code.close()


class _Number:
    """A logits array of one value."""

    shape = (1,)

    def __init__(self, value: float) -> None:
        self.value = value

    def __add__(self, other: float) -> _Number:
        return _Number(self.value + other)


def test_two_managers_may_end_in_any_order(tmp_path: Path) -> None:
    first, second = Place(tmp_path / "one"), Place(tmp_path / "two")
    for place in (first, second):
        place.add("mine", f"{HONEST}\n{ASKS}")
    first.manager.close()
    path = written(second.root, "a file beside it")
    forge(path)
    second.manager.disable("mine")
    second.manager.enable("mine", second.manager.find("mine").sha256)
    assert said(second) == "honest"
    second.manager.close()
    written(first.root, "a file beside it")
    first.manager = first.open()
    first.manager.enable("mine", first.manager.find("mine").sha256)
    assert said(first) == "honest"
    first.manager.close()
