"""Choose the files to download: one quantization, or safetensors with their companions; pickles come last."""

from __future__ import annotations

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from modules.library.download_listing import RemoteFile, RepositoryListing
from modules.library.download_staging import DownloadError
from modules.library.folder import ModelFolder, is_projector_name, join_names, parse_shard_name
from modules.library.memory_plan import gguf_shortage
from modules.library.projectors import precision_rank
from modules.library.sizes import format_size
from modules.protocol.model_facts import Machine

# Names of llama.cpp's quantizer, and variants of them (UD-Q4_K_XL, IQ4_NL, MXFP4_MOE).
_QUANT = re.compile(
    r"(?:^|[-_.])((?:UD-)?(?:I?Q\d(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32))(?=$|[-_.])",
    re.IGNORECASE,
)
# With 8 bits almost nothing is lost, so more is not suggested.
_FULL = ("BF16", "F16", "FP16", "F32", "FP32")
_PICKLES = "There are only pickles, which can run code. They load with --trust-pickle."
_COMPANIONS = (".json", ".txt", ".model", ".jinja", ".tiktoken", ".spm", ".py", ".md", ".yaml")
_LICENSES = ("LICENSE", "NOTICE", "COPYING", "USE_POLICY")


@dataclass(frozen=True)
class GgufVariant:
    """A GGUF model with all its shards. `why_not`: "" if it fits into this machine's free memory."""

    name: str
    files: tuple[RemoteFile, ...]
    why_not: str

    @property
    def size(self) -> int:
        """The size of all shards in bytes."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True)
class FileSelection:
    """The files to download.

    `name`: name below models/. `single`: it is one GGUF file without a folder. `reason`: why these files.
    """

    name: str
    files: tuple[RemoteFile, ...]
    reason: str
    single: bool = False

    @property
    def size(self) -> int:
        """The size of all files in bytes."""
        return sum(file.size for file in self.files)

    def place(self, file: RemoteFile) -> str:
        """Return the path below the model's folder, without the folder that all files share at the hub."""
        common = posixpath.commonpath([posixpath.dirname(each.path) for each in self.files])
        return posixpath.relpath(file.path, common) if common else file.path


@dataclass(frozen=True)
class DownloadOption:
    """One of the models in a repository.

    `label`: its quantization or kind. `why_not`: "" if it fits into this machine's free memory. `best`: the suggestion.
    """

    label: str
    choice: FileSelection
    why_not: str
    best: bool


def download_options(listing: RepositoryListing, machine: Machine) -> list[DownloadOption]:
    """Return the models to choose from: full precision, then GGUF quantizations, smallest first; or pickles."""
    entries = gguf_variants(listing, machine)
    top = _top(listing)
    found = []
    if top.safetensors:
        choice, obstacle = _safetensors(listing, top, machine)
        found.append(DownloadOption("Safetensors", choice, obstacle, True))
    best = None if found else suggest_variant(entries)
    labels = Counter(quantization_in_name(entry.name) for entry in entries)
    for entry in entries:
        quant = quantization_in_name(entry.name)
        label = quant if quant and labels[quant] == 1 else PurePosixPath(entry.name).name
        found.append(DownloadOption(label, _gguf(listing, entry, entry.why_not), entry.why_not, entry is best))
    if not found and top.pickled_weights:
        choice = _folder(listing, top.pickled_weights, _PICKLES)
        found.append(DownloadOption("Pickles", choice, memory_obstacle(choice.size, machine), False))
    return found


def gguf_variants(listing: RepositoryListing, machine: Machine) -> list[GgufVariant]:
    """Return the GGUF models of a listing, smallest first.

    Their memory is estimated from the files' size and the worker. A long context needs more, which depends on the
    files' headers.
    """
    groups: dict[str, list[RemoteFile]] = {}
    for file in listing.files:
        path = PurePosixPath(file.path)
        if path.suffix.lower() != ".gguf" or is_projector_name(path.name):
            continue
        split = parse_shard_name(path.name)
        groups.setdefault(str(path.with_name(split[0] if split else path.stem)), []).append(file)
    return sorted(
        (
            GgufVariant(stem, tuple(files), memory_obstacle(sum(file.size for file in files), machine))
            for stem, files in groups.items()
        ),
        key=lambda entry: entry.size,
    )


def memory_obstacle(size: int, machine: Machine) -> str:
    """Return "" if weights of `size` bytes fit into the free memory, else why not."""
    return gguf_shortage(size, machine)


def quantization_in_name(name: str) -> str:
    """Return the quantization in a file's name: "x-Q4_K_M" -> "Q4_K_M"; "" if there is none."""
    found = _QUANT.findall(PurePosixPath(name).name) or _QUANT.findall(name.replace("/", "-"))
    return str(found[-1]).upper() if found else ""


def suggest_variant(entries: Iterable[GgufVariant]) -> GgufVariant | None:
    """Return the largest that fits, with at most 8 bits unless there is nothing else; None if none fits."""
    able = [entry for entry in entries if not entry.why_not]
    return max(able, key=lambda entry: (quantization_in_name(entry.name) not in _FULL, entry.size), default=None)


def select_files(listing: RepositoryListing, machine: Machine, pattern: str = "", quant: str = "") -> FileSelection:
    """Return the files that the user wants. Raises DownloadError with what is available."""
    if pattern:
        return _by_pattern(listing, pattern)
    entries = gguf_variants(listing, machine)
    if quant:
        return _by_quant(listing, entries, quant)
    top = _top(listing)
    if top.safetensors:
        return _safetensors(listing, top, machine)[0]
    if entries:
        best = suggest_variant(entries)
        if best is None:
            raise DownloadError(
                f"No quantization of {listing.wanted.repository} fits this machine. The smallest is "
                f"{PurePosixPath(entries[0].name).name} ({format_size(entries[0].size)}). {entries[0].why_not} To get "
                "it nevertheless, name it with --quant or --file."
            )
        reason = "The only one here." if len(entries) == 1 else "The largest up to 8 bits that fits the free memory."
        return _gguf(listing, best, reason)
    if top.pickled_weights:
        return _folder(listing, top.pickled_weights, _PICKLES)
    raise DownloadError(
        f"{listing.wanted.repository} has no weights at its top level that a loader could read. It has: "
        f"{join_names([file.path for file in listing.files], 8) or 'no files'}. If it is one of "
        "these, name it with --file."
    )


def _top(listing: RepositoryListing) -> ModelFolder:
    return ModelFolder(Path(), {file.path: (file.size, 0) for file in listing.files if "/" not in file.path})


def _safetensors(listing: RepositoryListing, top: ModelFolder, machine: Machine) -> tuple[FileSelection, str]:
    """Return the folder of full-precision weights, and "" or why it does not fit."""
    weights = top.files_ending(".safetensors")
    if any(name.startswith("model") for name in weights):  # the same weights in the original release's layout
        weights = [name for name in weights if not name.startswith("consolidated")]
    obstacle = memory_obstacle(top.size(weights), machine)
    return _folder(listing, weights, f"Safetensors, which hold no code. {obstacle}".rstrip()), obstacle


def _by_pattern(listing: RepositoryListing, pattern: str) -> FileSelection:
    files = [
        file
        for file in listing.files
        if fnmatchcase(file.path, pattern) or fnmatchcase(PurePosixPath(file.path).name, pattern)
    ]
    if not files:
        raise DownloadError(
            f"No file of {listing.wanted.repository} matches {pattern!r}. There are: "
            f"{join_names([file.path for file in listing.files], 20)}. See all of them with --list."
        )
    if (
        len(files) == 1
        and files[0].path.lower().endswith(".gguf")
        and not parse_shard_name(PurePosixPath(files[0].path).name)
    ):
        return FileSelection(PurePosixPath(files[0].path).name, tuple(files), f"It matches {pattern}.", single=True)
    return FileSelection(listing.wanted.name, tuple(files), f"They match {pattern}.")


def _by_quant(listing: RepositoryListing, entries: Sequence[GgufVariant], quant: str) -> FileSelection:
    found = [entry for entry in entries if quantization_in_name(entry.name) == quant.upper()]
    if not found:
        names = sorted({quantization_in_name(entry.name) or PurePosixPath(entry.name).name for entry in entries})
        raise DownloadError(
            f"{listing.wanted.repository} has no quantization {quant}. "
            + (f"There are: {join_names(names, 40)}." if names else "It has no GGUF files: leave out --quant.")
        )
    if len(found) > 1:
        raise DownloadError(
            f"{listing.wanted.repository} has {len(found)} models as {quant}: "
            f"{join_names([entry.name for entry in found], 10)}. Name one with --file."
        )
    return _gguf(listing, found[0], found[0].why_not or "As requested.")


def _gguf(listing: RepositoryListing, entry: GgufVariant, reason: str) -> FileSelection:
    first = PurePosixPath(entry.files[0].path)
    paths = {PurePosixPath(file.path): file for file in listing.files}
    beside = [path for path in paths if path.parent == first.parent and is_projector_name(path.name)]
    if beside:
        projector = paths[min(beside, key=lambda path: (precision_rank(path.name), path.name))]
        files = (*entry.files, projector)
        return FileSelection(PurePosixPath(entry.name).name, files, f"{reason} With its projector for images.")
    if len(entry.files) == 1 and not parse_shard_name(first.name):
        return FileSelection(first.name, entry.files, reason, single=True)
    return FileSelection(PurePosixPath(entry.name).name, entry.files, reason)


def _folder(listing: RepositoryListing, weights: Sequence[str], reason: str) -> FileSelection:
    files = [
        file
        for file in listing.files
        if file.path in weights
        or ("/" not in file.path and not file.path.startswith(".") and file.path.lower().endswith(_COMPANIONS))
        or ("/" not in file.path and file.path.startswith(_LICENSES))
    ]
    return FileSelection(listing.wanted.name, tuple(files), reason)
