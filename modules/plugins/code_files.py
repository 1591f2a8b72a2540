"""Finds the files of an extension that are code, and their hashes. The user's consent is bound to these hashes."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path, PurePath

from modules.system.code_allowlist import digest, is_text

# Files that Python can import or load into its process.
_PYTHON = (".py", ".pyw", ".pyc", ".pyo", ".pyx", ".pth")
_NATIVE = (".so", ".pyd", ".dll", ".dylib")
_ARCHIVES = (".zip", ".whl", ".egg", ".pyz")
IMPORTABLE = frozenset((*_PYTHON, *_NATIVE, *_ARCHIVES))
# Other files that can run or make something run. A folder may also hold data that its extension writes.
_PAGE = (".js", ".mjs", ".cjs", ".ts", ".css", ".html", ".htm", ".jinja", ".svg", ".wasm", ".node")
_OTHER = (".cfg", ".toml", ".sh", ".bat", ".cmd", ".exe", ".ps1", ".vbs", ".jar")
_CODE = frozenset((*IMPORTABLE, *_PAGE, *_OTHER))
_NAMED = frozenset({"extension.yaml", "requirements.txt"})
# Folders made by tools, with thousands of files. Only files that Python can import count there.
_TOOLS = frozenset({".git", ".venv", "node_modules"})
_CACHE = "__pycache__"
_MOST_FILES = 20_000
_BLOCK = 1 << 20
# Nanoseconds. A file that changed more recently may change again within the resolution of its timestamps.
_SETTLED = 2_000_000_000


def code_files(folder: Path) -> dict[str, str]:
    """Return the digest of each file of code below `folder`, by path (with slashes).

    The digest of a link to a folder is that of the link's target. Raises ValueError, with a sentence, if a link leads
    out of the folder, code is not a regular file, or there are too many files.
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
    """Return the sha256 over the names and digests of all code."""
    whole = hashlib.sha256()
    for name in sorted(files):
        whole.update(f"{name}\0{files[name]}\0".encode(errors="surrogateescape"))
    return whole.hexdigest()


def importable(files: Mapping[str, str]) -> dict[str, str]:
    """Return the files that Python can import."""
    return {name: sha256 for name, sha256 in files.items() if PurePath(name).suffix.lower() in IMPORTABLE}


def _entries(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield each file and each link to a folder, and True if it is in a folder made by tools. Raises ValueError."""
    root = folder.resolve()
    for place, folders, files in os.walk(folder):
        in_tools = not _TOOLS.isdisjoint(Path(place).relative_to(folder).parts)
        for name in (*folders, *files):
            path = Path(place, name)
            is_link = path.is_symlink()
            if is_link and not path.resolve().is_relative_to(root) and (path.is_dir() or not in_tools or _named(path)):
                raise ValueError(
                    f"{folder.name}/{path.relative_to(folder)} is a link that leads out of the extension's folder. "
                    "Replace the link with the file itself."
                )
            if is_link or not path.is_dir():
                yield path, in_tools or name in _TOOLS


def _is_code(path: Path, in_tools: bool) -> bool:
    # modules.system.code_allowlist never reads these. Programs that an extension starts may write them.
    if path.suffix == ".pyc" and path.parent.name == _CACHE:
        return False
    return path.suffix.lower() in IMPORTABLE if in_tools else _named(path)


def _named(path: Path) -> bool:
    return path.suffix.lower() in _CODE or path.name in _NAMED or ".so." in path.name


def _digest_of(path: Path, shown: str) -> str:
    try:
        about = path.stat()
    except FileNotFoundError:
        raise ValueError(f"{shown} is a broken link. Remove it.") from None
    if not stat.S_ISREG(about.st_mode):
        raise ValueError(f"{shown} is not a regular file, so it cannot be code. Remove it.")
    now = time.time_ns()
    # On Windows st_ctime is the time of creation, which does not change with the content.
    if os.name == "nt" or not 0 < about.st_ctime_ns < now - _SETTLED:
        return _read(path)
    return _settled(str(path), about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)


@lru_cache(maxsize=_MOST_FILES)
def _settled(path: str, *about: int) -> str:
    """Return the digest of a file, cached by `about`: values that change with every change of the file."""
    return _read(Path(path))


def _read(path: Path) -> str:
    if is_text(path.name):
        return digest(path.name, path.read_bytes())
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            whole.update(block)
    return whole.hexdigest()
