"""The sub-command `download`: fetch a model from the hub into models/."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from modules.cli.terminal import ProgressLine
from modules.library.machine import inspect_machine
from modules.library.sizes import format_size
from modules.protocol.errors import PaddockError
from modules.settings.config import Config
from modules.system.program_name import program_name

if TYPE_CHECKING:
    from modules.library.download import DownloadProgress
    from modules.library.download_choice import FileSelection, GgufVariant
    from modules.library.download_listing import RepositoryListing

# Seconds between two updates of the progress line.
_REDRAW_SECONDS = 0.2


def download(config: Config, arguments: argparse.Namespace) -> int:
    """Download a model, or list what its repository has."""
    # Importing huggingface_hub takes most of a second, so only this command does it.
    from modules.library.download import Download
    from modules.library.download_choice import gguf_variants, select_files
    from modules.library.download_listing import list_files, parse_repository_id

    listing = list_files(parse_repository_id(arguments.name))
    machine = inspect_machine()
    if arguments.list:
        try:
            chosen: FileSelection | PaddockError = select_files(listing, machine, arguments.file, arguments.quant)
        except PaddockError as error:
            chosen = error
        row = _describe(listing, gguf_variants(listing, machine), chosen)
        print(json.dumps(row, indent=1)) if arguments.json else _show(row)
        return 0
    choice = select_files(listing, machine, arguments.file, arguments.quant)
    progress = _Line()
    job = Download(config.paths.models, listing, choice, progress)
    print(f"{choice.name}: {_count(choice.files)}, {format_size(choice.size)}. {choice.reason}", file=sys.stderr)
    try:
        path = job.run()
    except KeyboardInterrupt:
        progress.close()
        print(
            f"Stopped. Run the same command again to resume. To discard the download, delete {job.staging}.",
            file=sys.stderr,
        )
        return 130
    finally:
        progress.close()
    if arguments.json:
        names = [file.path for file in choice.files]
        result = {"name": choice.name, "path": str(path), "commit": listing.commit, "size_bytes": choice.size}
        print(json.dumps({**result, "files": names}, indent=1))
    else:
        folder = config.paths.display(config.paths.models)
        print(f"{choice.name} is in {folder}. Inspect it: {program_name()} inspect {choice.name}")
    return 0


class _Line:
    """Progress of a download: speed and time left on a terminal, else one line per file."""

    def __init__(self) -> None:
        self._line = ProgressLine()
        self._is_terminal = sys.stderr.isatty()
        self._drawn = 0.0

    def __call__(self, progress: DownloadProgress) -> None:
        name = PurePosixPath(progress.file).name
        text = f"{name} ({progress.number} of {progress.files})" if progress.files > 1 else name
        if self._is_terminal:
            if (now := time.monotonic()) - self._drawn < _REDRAW_SECONDS:
                return
            self._drawn = now
            text = f"{text[-40:]}: {progress}"
        self._line(text, progress.done / progress.total if progress.total else None)

    def close(self) -> None:
        self._line.close()


def _count(files: tuple[object, ...]) -> str:
    return "1 file" if len(files) == 1 else f"{len(files)} files"


def _describe(
    listing: RepositoryListing, entries: list[GgufVariant], chosen: FileSelection | PaddockError
) -> dict[str, object]:
    from modules.library.download_choice import FileSelection, quantization_in_name

    paths = {file.path for file in chosen.files} if isinstance(chosen, FileSelection) else set()
    return {
        "repository": listing.wanted.repository,
        "commit": listing.commit,
        "files": [{"path": file.path, "size_bytes": file.size, "chosen": file.path in paths} for file in listing.files],
        "quantizations": [
            {
                "quantization": quantization_in_name(entry.name),
                "model": entry.name,
                "files": len(entry.files),
                "size_bytes": entry.size,
                "fits": not entry.why_not,
                "why_not": entry.why_not,
            }
            for entry in entries
        ],
        "choice": {"name": chosen.name, "size_bytes": chosen.size, "reason": chosen.reason}
        if isinstance(chosen, FileSelection)
        else None,
        "problem": "" if isinstance(chosen, FileSelection) else chosen.message,
    }


def _show(row: dict[str, Any]) -> None:
    print(f"{row['repository']} at {row['commit'][:8]} (* would be downloaded)")
    for file in row["files"]:
        print(f"{'*' if file['chosen'] else ' '} {format_size(file['size_bytes']):>10}  {file['path']}")
    if row["quantizations"]:
        print("\nQuantizations, smallest first:")
    for entry in row["quantizations"]:
        state = "fits" if entry["fits"] else "too large"
        print(
            f"  {entry['quantization'] or '?':<14} {format_size(entry['size_bytes']):>10}  {state:<10} {entry['model']}"
        )
    if row["choice"]:
        choice = row["choice"]
        print(f"\nWithout --list: {choice['name']}, {format_size(choice['size_bytes'])}. {choice['reason']}")
    else:
        print(f"\n{row['problem']}")
