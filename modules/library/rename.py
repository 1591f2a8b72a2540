"""Gives a model or an adapter in the models folder another name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modules.families.remote_file import SUFFIXES
from modules.files.paths import PathError, safe_file_path
from modules.library.folder import parse_shard_name
from modules.library.model_paths import model_paths
from modules.library.scan import ModelLibrary
from modules.protocol.errors import ModelError

_GGUF = (".gguf",)


def rename_model(library: ModelLibrary, models: Path, old: str, new: str) -> str:
    """Rename the model `old`, with all parts of a split file, and return its new name.

    `new` may have the ending of the file or not. The model stays in its folder below models/. Nothing is overwritten,
    and after an error all files have their old names. Raises ModelError, PathError.
    """
    if old not in _listed(library):
        raise ModelError(f"There is no model or adapter named {old[:200]!r}. Reload the list of models.")
    sources = model_paths(library, models, old)
    parent = sources[0].parent
    below = "" if parent == models else f"{parent.relative_to(models).as_posix()}/"
    targets = _targets(sources, new.strip().removeprefix(below))
    for source, target in zip(sources, targets, strict=True):
        if target.exists() and not target.samefile(source):
            raise ModelError(f"{target.name} is in the models folder already. Choose another name.")
    name = f"{below}{targets[0].name}"
    if name == old:
        raise ModelError(f"{old} has this name already. Choose another one.")
    _move(sources, targets, old)
    if name not in _listed(library):
        _move(targets, sources, name)
        raise PathError(f"A model named {targets[0].name!r} would not be listed as a model. Choose another name.")
    return name


def _listed(library: ModelLibrary) -> set[str]:
    return {*library.names(), *(adapter.name for adapter in library.adapters())}


def _targets(sources: Sequence[Path], new: str) -> list[Path]:
    """Return the path of each file under the new name. Raises PathError."""
    first = sources[0]
    if first.is_dir():
        return [safe_file_path(first.parent, new, "", "model")]
    lower = first.name.lower()
    ending = next((suffix for suffix in (*SUFFIXES, *_GGUF) if lower.endswith(suffix)), first.suffix)
    plain = new[: -len(ending)] if new.lower().endswith(ending) else new
    if parse_shard_name(first.name) is None:
        return [safe_file_path(first.parent, plain, first.name[-len(ending) :], "model")]
    if typed := parse_shard_name(f"{plain}{ending}"):
        plain = typed[0]
    found = []
    for source in sources:
        stem = parse_shard_name(source.name)
        assert stem is not None
        found.append(safe_file_path(source.parent, plain, source.name[len(stem[0]) :], "model"))
    return found


def _move(sources: Sequence[Path], targets: Sequence[Path], name: str) -> None:
    """Rename each file. Where one cannot be, the earlier ones get their names back. Raises ModelError."""
    moved: list[tuple[Path, Path]] = []
    try:
        for source, target in zip(sources, targets, strict=True):
            source.rename(target)
            moved.append((source, target))
    except OSError as error:
        for source, target in moved:
            target.rename(source)
        raise ModelError(
            f"{name} could not be renamed ({error.strerror}). Close what uses its files, or check the folder's "
            "permissions, then try again."
        ) from error
