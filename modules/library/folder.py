"""The files of a model folder, classified by name only."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

UNFINISHED_SUFFIXES = (
    ".part",
    ".partial",
    ".download",
    ".crdownload",
    ".incomplete",
    ".tmp",
    ".temp",
    ".aria2",
    ".!qb",
)
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")

# Pickles of a training run that are not weights of the model.
_LEFTOVERS = re.compile(r"(training_args|optimizer|scheduler|scaler|rng_state|trainer_state)", re.IGNORECASE)
_TOKENIZERS = re.compile(
    r"(tokenizer.*\.(json|model)|.*\.(tiktoken|spm)|spiece\.model|vocab\.(json|txt))", re.IGNORECASE
)
_PROJECTOR = re.compile(r"^mmproj|[-_.]mmproj[-_.]", re.IGNORECASE)
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.\w+)", re.IGNORECASE)


@dataclass(frozen=True)
class ModelFolder:
    """The files at a folder's top level: name -> (bytes, time of modification in ns). Inner folders are ignored."""

    path: Path
    files: dict[str, tuple[int, int]]

    def files_ending(self, *suffixes: str) -> list[str]:
        """Return the names with one of these endings, in upper or lower case, sorted."""
        return sorted(name for name in self.files if name.lower().endswith(suffixes))

    @property
    def ggufs(self) -> list[str]:
        """The GGUF models. A split model is named by its first shard. Projectors for images are left out."""
        names = [name for name in self.files_ending(".gguf") if not is_projector_name(name)]
        return [name for name in names if not parse_shard_name(name) or name == self._first_of(name, names)]

    @property
    def projectors(self) -> list[str]:
        """GGUF files that, by their names, make tokens of images for a model beside them."""
        return [name for name in self.files_ending(".gguf") if is_projector_name(name)]

    @staticmethod
    def _first_of(name: str, names: list[str]) -> str:
        split = parse_shard_name(name)
        same = [other for other in names if (there := parse_shard_name(other)) and split and there[::2] == split[::2]]
        return min(same)

    @property
    def safetensors(self) -> list[str]:
        """Files of weights, without adapters."""
        return [name for name in self.files_ending(".safetensors") if not name.lower().startswith("adapter_")]

    @property
    def pickled_weights(self) -> list[str]:
        """Pickles with a model's weights."""
        return [
            name
            for name in self.files_ending(*PICKLE_SUFFIXES)
            if not _LEFTOVERS.match(name) and not name.lower().startswith("adapter_")
        ]

    @property
    def other_pickles(self) -> list[str]:
        """Pickles without weights of the model: files of a training run, and adapters."""
        return [name for name in self.files_ending(*PICKLE_SUFFIXES) if name not in self.pickled_weights]

    @property
    def unfinished(self) -> list[str]:
        """Files of a running or interrupted copy or download."""
        return self.files_ending(*UNFINISHED_SUFFIXES)

    @property
    def has_tokenizer(self) -> bool:
        """True if there is a tokenizer."""
        return any(_TOKENIZERS.fullmatch(name) for name in self.files)

    @property
    def is_adapter(self) -> bool:
        """True if it is a LoRA adapter and not a model. Some adapters contain a copy of the model's config.json."""
        return "adapter_config.json" in self.files and not (self.safetensors or self.pickled_weights)

    @property
    def is_model(self) -> bool:
        """True if the folder is a model, complete or not."""
        return not self.is_adapter and bool("config.json" in self.files or self.safetensors or self.pickled_weights)

    def size(self, names: list[str]) -> int:
        """Return the total size of these files in bytes."""
        return sum(self.files[name][0] for name in names if name in self.files)


def is_projector_name(name: str) -> bool:
    """Return True if a file's name says that it is a projector for images: mmproj-F16.gguf, Some-Model-mmproj.gguf."""
    return _PROJECTOR.search(name) is not None


def projector_names(path: Path) -> list[str]:
    """Return the names of `ModelFolder.projectors` in the folder at `path`, without looking at its files. Raises
    OSError."""
    with os.scandir(path) as entries:
        names = [entry.name for entry in entries]
    return sorted(name for name in names if name.lower().endswith(".gguf") and is_projector_name(name))


def list_folder(path: Path) -> ModelFolder:
    """Read the folder at `path`. Unreadable entries and hidden files are left out. Raises OSError."""
    files = {}
    with os.scandir(path) as entries:
        for entry in entries:
            try:
                if not entry.name.startswith(".") and entry.is_file():
                    stat = entry.stat()
                    files[entry.name] = (stat.st_size, stat.st_mtime_ns)
            except OSError:
                continue
    return ModelFolder(path, files)


def parse_shard_name(name: str) -> tuple[str, int, int] | None:
    """Return (stem, number, count) of a shard's name such as `x-00001-of-00003.gguf`; None for other names."""
    match = _SHARD.fullmatch(name)
    return (match["stem"], int(match["number"]), int(match["count"])) if match else None


def all_shard_names(name: str) -> list[str]:
    """Return the names of all shards of the split model that `name` belongs to, or [`name`] if it is not split."""
    match = _SHARD.fullmatch(name)
    if not match or not 0 < int(match["count"]) <= 10_000:
        return [name]
    count = int(match["count"])
    return [f"{match['stem']}-{number:05d}-of-{count:05d}{match['suffix']}" for number in range(1, count + 1)]


def join_names(names: list[str], most: int = 3) -> str:
    """Join names as text: "a, b, c and 4 more"."""
    words = ", ".join(names[:most])
    return f"{words} and {len(names) - most} more" if len(names) > most else words
