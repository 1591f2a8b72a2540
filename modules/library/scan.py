"""List the models and LoRA adapters in the models folder, and read their facts."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from modules.families.remote_file import SUFFIXES
from modules.files.paths import PathError, safe_join
from modules.files.printable_name import printable_name
from modules.library import gguf, safetensors
from modules.library.adapter_files import is_gguf_adapter, read_adapter
from modules.library.detect import detect
from modules.library.folder import ModelFolder, all_shard_names, join_names, list_folder, projector_names
from modules.library.sizes import TruncatedFileError
from modules.protocol.adapter_facts import AdapterFacts
from modules.protocol.errors import ModelError
from modules.protocol.model_facts import ModelFacts

# The model that ships with Paddock, which the first start loads.
DEMO_MODEL = "demo.Q8_0.gguf"
_DEEPEST = 4
_MOST_NAMED = 20
# A file that is cut short and changed within this time counts as still being copied.
_STILL_GROWING_SECONDS = 2.0

Signature = tuple[tuple[str, int, int], ...]


class ModelLibrary:
    """The models below `root`. Thread-safe."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Signature, ModelFacts]] = {}
        # True for GGUF files that are adapters, by path, size and time, so that each header is read once.
        self._heads: dict[tuple[Path, int, int], bool] = {}

    def names(self) -> list[str]:
        """Return the names of the models that are there now, sorted.

        Models are folders with a model, GGUF files (a split one is named by its first shard), and files that name a
        model on another server (*.remote.yaml). A name is the path below the models folder with forward slashes.
        Bytes that are not UTF-8 are shown as "�".
        """
        return sorted(self._find(), key=str.lower)

    def adapters(self) -> list[AdapterFacts]:
        """Return the LoRA adapters that are there now, sorted by name.

        Adapters are folders with adapter_config.json, and GGUF files whose header says so. Why one cannot be read is
        in its `problems`.
        """
        found = self._find_all()[1]
        return [read_adapter(found[name], name) for name in sorted(found, key=str.lower)]

    def adapter(self, name: str) -> AdapterFacts:
        """Return the adapter of that name. Raises ModelError with the names of all adapters."""
        found = self._find_all()[1]
        if name not in found:
            there = f"There are none yet. Put an adapter into {self._root}."
            if found:
                there = f"The adapters are: {join_names(sorted(found, key=str.lower), _MOST_NAMED)}."
            raise ModelError(f"There is no LoRA adapter named {name[:200]!r}. {there}")
        return read_adapter(found[name], name)

    def facts(self, name: str) -> ModelFacts:
        """Return the facts of a model. Its files are read again only after they changed.

        Raises ModelError if there is no such model, and PathError.
        """
        path = self._path(name)
        signature = _signature(path)
        with self._lock:
            known = self._known.get(name)
        if known and known[0] == signature:
            return known[1]
        facts = detect(path, name)
        with self._lock:
            self._known[name] = (signature, facts)
        return facts

    def purposes(self, names: Sequence[str], seconds: float) -> dict[str, str]:
        """Return name -> ModelFacts.purpose for as many models as can be read within `seconds`.

        What was read is cached, so the next call gets further. Models that cannot be read are left out.
        """
        end = time.monotonic() + seconds
        found = {}
        for name in names:
            if time.monotonic() > end:
                break
            with contextlib.suppress(ModelError, PathError):
                found[name] = self.facts(name).purpose
        return found

    def identity(self, name: str) -> str:
        """Return a text that changes with the model's files: its name, and the files' names, sizes and times."""
        return repr((name, _signature(self._path(name))))

    def _path(self, name: str) -> Path:
        top, _, rest = name.rstrip("/").partition("/")
        # A link in models/ may lead elsewhere, since the owner made it. An absolute path has no top and is refused.
        path = safe_join(self._root, top or name, follow_links=True)
        try:
            path = safe_join(path, rest) if rest else path
        except PathError:
            if name in (found := self._find()):  # a file of a download cache, whose names are links to its store
                return found[name]
            raise
        try:
            if path.exists():
                return path
        except OSError:  # a name too long for a file
            pass
        found = self._find()
        if name in found:
            return found[name]
        there = f"There are none yet. Put a model folder or a GGUF file into {self._root}."
        if found:
            there = f"The models are: {join_names(sorted(found, key=str.lower), _MOST_NAMED)}."
        raise ModelError(f"There is no model named {name[:200]!r}. {there}")

    def _find(self) -> dict[str, Path]:
        return self._find_all()[0]

    def _find_all(self) -> tuple[dict[str, Path], dict[str, Path]]:
        """Return the models and the LoRA adapters, each as name -> path."""
        models: dict[str, Path] = {}
        adapters: dict[str, Path] = {}
        self._walk(self._root, "", 0, models, adapters)
        return models, adapters

    def _is_adapter(self, folder: ModelFolder, name: str) -> bool:
        key = (folder.path / name, *folder.files[name])
        if key not in self._heads:
            self._heads[key] = is_gguf_adapter(key[0])
        return self._heads[key]

    def _walk(self, path: Path, prefix: str, depth: int, found: dict[str, Path], adapters: dict[str, Path]) -> bool:
        """Add the models and adapters in the folder at `path`. Return True if there are any."""
        try:
            folder = list_folder(path)
            with os.scandir(path) as entries:
                below = sorted(entry.name for entry in entries if _is_open_folder(entry, depth))
        except OSError:
            return False
        loras = {prefix + printable_name(name): path / name for name in folder.ggufs if self._is_adapter(folder, name)}
        if depth and folder.is_adapter:
            loras[prefix.rstrip("/")] = path
        adapters.update(loras)
        ggufs = [name for name in folder.ggufs if prefix + printable_name(name) not in loras]
        models = {prefix + printable_name(name): path / name for name in ggufs if not _growing(folder, [name])}
        remotes = {prefix + printable_name(name): path / name for name in folder.files_ending(*SUFFIXES)}
        if depth and folder.is_model:
            if not _growing(folder, folder.safetensors):
                found[prefix.rstrip("/")] = path
            found.update(models)
            return True
        found.update(remotes)
        if depth and len(models) == 1 and len(folder.ggufs) == 1 and not below and not remotes:
            found[prefix.rstrip("/")] = path
            return True
        found.update(models)
        deeper = False
        if depth < _DEEPEST:
            deeper = any(
                [
                    self._walk(path / name, f"{prefix}{printable_name(name)}/", depth + 1, found, adapters)
                    for name in below
                ]
            )
        if depth == 1 and folder.files and not folder.ggufs and not (remotes or loras or deeper):
            found[prefix.rstrip("/")] = path  # not a model yet: the facts say what is missing
        return bool(models or remotes or loras) or deeper


def _is_open_folder(entry: os.DirEntry[str], depth: int) -> bool:
    """Return True for folders to search: not hidden, and links only directly in models/, where the owner put them."""
    try:
        return not entry.name.startswith(".") and entry.is_dir(follow_symlinks=depth == 0)
    except OSError:
        return False


def _growing(folder: ModelFolder, names: list[str]) -> bool:
    """Return True if one of these files is still being copied: it changed a moment ago and is cut short."""
    now = time.time()
    for name in names:
        if now - folder.files[name][1] / 1e9 > _STILL_GROWING_SECONDS:
            continue
        reader = gguf.read_header if name.lower().endswith(".gguf") else safetensors.read_header
        try:
            reader(folder.path / name)
        except TruncatedFileError:
            return True
        except ModelError:
            continue
    return False


def _signature(path: Path) -> Signature:
    """Return what changes with the model's files: names, sizes and times."""
    try:
        if path.is_dir():
            return tuple(sorted((name, *numbers) for name, numbers in list_folder(path).files.items()))
        names = all_shard_names(path.name)
        if path.suffix.lower() == ".gguf":
            names += projector_names(path.parent)
        shards = [path.with_name(name) for name in names]
        stats = [(shard.name, shard.stat()) for shard in shards if shard.exists()]
        return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)
    except OSError:
        return ()
