"""The files of one model or adapter in the models folder, for what moves them as a whole."""

from __future__ import annotations

from pathlib import Path

from modules.library.folder import all_shard_names
from modules.library.scan import ModelLibrary
from modules.protocol.errors import ModelError


def model_paths(library: ModelLibrary, models: Path, name: str) -> list[Path]:
    """Return what has to be moved with a model or an adapter: its folder, its file, or all parts of a split file.

    Raises ModelError, also for a model whose files are not directly in the models folder.
    """
    path = Path(library.facts(name).path)
    # Of a folder with one GGUF model, the whole folder.
    if (named := models / name).is_dir():
        path = named
    # A link in models/ is moved, not what it points to.
    if not path.is_relative_to(models):
        path = models / name
    if not path.is_relative_to(models) or path == models or not path.exists():
        raise ModelError(f"{name} is not directly in the models folder. Rename or delete its files yourself.")
    if path.is_dir():
        return [path]
    return [shard for part in all_shard_names(path.name) if (shard := path.with_name(part)).exists()]
