"""Which files of an extension are code, and their hashes: consent is bound to them."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePath

from modules.system.code_allowlist import digest, is_text

# What Python can import, or load into its process.
_PYTHON = (".py", ".pyw", ".pyc", ".pyo", ".pyx", ".pth")
_NATIVE = (".so", ".pyd", ".dll", ".dylib")
_ARCHIVES = (".zip", ".whl", ".egg", ".pyz")
IMPORTABLE = frozenset((*_PYTHON, *_NATIVE, *_ARCHIVES))
# What else can run, or lead to running something; a folder may also hold the data that its extension writes.
_PAGE = (".js", ".mjs", ".cjs", ".ts", ".css", ".html", ".htm", ".jinja", ".svg", ".wasm", ".node")
_OTHER = (".cfg", ".toml", ".sh", ".bat", ".cmd", ".exe", ".ps1", ".vbs", ".jar")
_CODE = frozenset((*IMPORTABLE, *_PAGE, *_OTHER))
_NAMED = frozenset({"extension.yaml", "requirements.txt"})
# Made by tools, with thousands of files: of these, what Python can import is all that counts.
_TOOLS = frozenset({".git", ".venv", "node_modules"})
_CACHE = "__pycache__"
_MOST_FILES = 20_000
_BLOCK = 1 << 20
# A file that changed within these seconds may change again without its times saying so.
_SETTLED = 2_000_000_000


def code_files(folder: Path) -> dict[str, str]:
    """Path (with slashes) -> digest of each file of code below `folder`; of a link to a folder, that of its target.

    Raises ValueError (a sentence) where a link leads out of the folder, code is no ordinary file, or there are too many
    files.
    """
    found: dict[str, str] = {}
    count = 0
    for path, in_tools in _entries(folder):
        inner = path.relative_to(folder).as_posix()
        if not in_tools:
            count += 1
        if max(count, len(found)) > _MOST_FILES:
            raise ValueError(f"{folder.name} holds more than {_MOST_FILES} files. Move its data out of the folder.")
        if path.is_symlink() and path.is_dir():
            found[inner] = hashlib.sha256(os.fsencode(path.readlink())).hexdigest()
        elif _is_code(path, in_tools):
            found[inner] = _digest_of(path, f"{folder.name}/{inner}")
    return found


def fingerprint(files: Mapping[str, str]) -> str:
    """sha256 over the names and hashes of all code."""
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(f"{name}\0{files[name]}\0".encode(errors="surrogateescape"))
    return whole.hexdigest()


def importable(files: Mapping[str, str]) -> dict[str, str]:
    """Those that Python can import."""
    return {name: sha256 for name, sha256 in files.items() if PurePath(name).suffix.lower() in IMPORTABLE}


def _entries(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Each file and each link to a folder, and whether it lies in a folder that tools make. Raises ValueError."""
    root = folder.resolve()
    for place, folders, files in os.walk(folder):
        in_tools = not _TOOLS.isdisjoint(Path(place).relative_to(folder).parts)
        for name in (*folders, *files):
            path = Path(place, name)
            is_link = path.is_symlink()
            if is_link and not path.resolve().is_relative_to(root) and (path.is_dir() or not in_tools or _named(path)):
                raise ValueError(
                    f"{folder.name}/{path.relative_to(folder)} is a link that leads out of the extension's folder. "
                    "Put the file itself there."
                )
            if is_link or not path.is_dir():
                yield path, in_tools or name in _TOOLS


def _is_code(path: Path, in_tools: bool) -> bool:
    # Never read: modules.system.code_allowlist sees to that. Programs that an extension starts write them too.
    if path.suffix == ".pyc" and path.parent.name == _CACHE:
        return False
    return path.suffix.lower() in IMPORTABLE if in_tools else _named(path)


def _named(path: Path) -> bool:
    return path.suffix.lower() in _CODE or path.name in _NAMED or ".so." in path.name


def _digest_of(path: Path, shown: str) -> str:
    try:
        about = path.stat()
    except FileNotFoundError:
        raise ValueError(f"{shown} is a link to nothing. Remove it.") from None
    if not stat.S_ISREG(about.st_mode):
        raise ValueError(f"{shown} is no ordinary file, so it cannot be code. Remove it.")
    now = time.time_ns()
    # Windows has the time of creation there, which says nothing of changes.
    if os.name == "nt" or not 0 < about.st_ctime_ns < now - _SETTLED:
        return _read(path)
    return _settled(str(path), about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


@lru_cache(maxsize=_MOST_FILES)
def _settled(path: str, *about: int) -> str:
    """The digest of a file that is as it was: `about` holds what every change to it changes."""
    return _read(Path(path))


def _read(path: Path) -> str:
    if is_text(path.name):
        return digest(path.name, path.read_bytes())
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            whole.update(block)
    return whole.hexdigest()
