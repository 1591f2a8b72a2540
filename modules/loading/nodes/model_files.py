"""The files of a model that all machines must have alike: their list, their comparison, and which may be sent."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from modules.files.paths import safe_join
from modules.loading.nodes.node_facts import NodeRefused
from modules.protocol.errors import PaddockError, SettingError

# Of a larger file, so many bytes in all are compared, at places over its whole length.
_HASHED_BYTES = 32 * 2**20
_BLOCK = 2**20
# [path below the model's folder, bytes, SHA-256 of what is compared]
FileEntry = tuple[str, int, str]


def list_names(folder: Path) -> list[tuple[str, int]]:
    """Return (path below the folder, bytes) of each file in a model's folder, without hidden ones."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = ((path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths)
    return [(name, size) for name, size in named if not any(part.startswith(".") for part in name.split("/"))]


def list_model_files(folder: Path) -> list[FileEntry]:
    """Return the files of a model's folder for a comparison."""
    return [(name, size, _digest(folder / name, size)) for name, size in list_names(folder)]


def read_file_list(value: object) -> list[FileEntry]:
    """Return the list that a host sent. Raise SettingError."""
    if not isinstance(value, list):
        raise SettingError("The host sent no list of files. Install the same version of Paddock on both machines.")
    found: list[FileEntry] = []
    for entry in value:
        if not (isinstance(entry, list) and list(map(type, entry)) == [str, int, str]):
            raise SettingError("The host sent a wrong list of files. Install the same version on both machines.")
        found.append((entry[0], entry[1], entry[2]))
    return found


def difference(own: Sequence[FileEntry], wanted: Sequence[FileEntry]) -> str:
    """Return the name of the first file that differs between two machines; "" if none does.

    Files that only this machine has, such as a README, do not matter.
    """
    here = {name: rest for name, *rest in own}
    return next((name for name, *rest in wanted if here.get(name) != rest), "")


def served_file(folder: Path, name: str) -> Path:
    """Return the path of a model's file that a node asks for. Raise PaddockError for any other path."""
    path = safe_join(folder, name, follow_links=True)
    if name not in [entry[0] for entry in list_names(folder)]:
        raise NodeRefused(f"{name[:200]!r} is no file of the model. Join again with the same version of Paddock.")
    return path


def check_copy(folder: Path, wanted: Sequence[FileEntry], name: str) -> None:
    """Raise PaddockError if a model in this machine's folder differs from the host's."""
    if differs := difference(list_model_files(folder), wanted):
        raise PaddockError(
            f"{name} on the node differs from the host's (first in {differs}). Rename or delete the folder "
            f"{folder.name} in the node's models folder, so that it is copied from the host, then load again."
        )


def _digest(path: Path, size: int) -> str:
    step = max(_BLOCK, size * _BLOCK // _HASHED_BYTES)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for place in range(0, size, step):
            file.seek(place)
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()
