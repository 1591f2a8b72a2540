"""Lists the files of a folder that may be documents, within limits."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field
from pathlib import Path

# Files of one knowledge, and folders in one another.
MOST_FILES = 5000
MOST_DEPTH = 16
_SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "$RECYCLE.BIN"})
# Formats without text: they are passed over without a word. The reader refuses others by their content.
_SKIPPED_ENDINGS = re.compile(
    r"\.(?:png|jpe?g|gif|webp|bmp|tiff?|ico|svg|heic|mp[34]|wav|ogg|flac|m4a|mov|mkv|avi|webm|zip|gz|bz2|xz|7z|rar|tar|"
    r"jar|exe|dll|so|dylib|o|a|class|pyc|bin|iso|img|db|sqlite3?|gguf|safetensors|pth?|onnx|np[yz]|parquet|woff2?|[ot]tf|"
    r"eot|psd|lock)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class FoundFile:
    """A file: its path below the folder with "/", its size in bytes, and its time of change in nanoseconds."""

    path: str
    size: int
    modified: int


@dataclass
class FolderScan:
    """The files of a folder in order. `note`: a sentence if not all were listed, else "".

    `refused`: paths of files and folders below it that the system does not show now.
    """

    files: list[FoundFile] = field(default_factory=list)
    note: str = ""
    refused: list[str] = field(default_factory=list)

    def is_refused(self, path: str) -> bool:
        """Return True if it is not known whether there is a file at this path."""
        return any(path == refused or path.startswith(f"{refused}/") for refused in self.refused)


def scan_folder(folder: Path, most: int = MOST_FILES) -> FolderScan:
    """Return the regular files below a folder that may hold text. Links are not followed, hidden files are left out.

    Raises OSError if the folder itself cannot be read.
    """
    found = FolderScan()

    def note_refused(error: OSError) -> None:
        refused = Path(error.filename or folder)
        if refused == folder:
            raise error
        if not isinstance(error, FileNotFoundError):
            found.refused.append(refused.relative_to(folder).as_posix())

    for place, folders, names in os.walk(folder, onerror=note_refused):
        inner = Path(place).relative_to(folder)
        deepest = len(inner.parts) >= MOST_DEPTH
        folders[:] = [] if deepest else sorted(name for name in folders if _is_wanted_folder(name))
        for name in sorted(names):
            if name.startswith((".", "~$")) or _SKIPPED_ENDINGS.fullmatch(Path(name).suffix):
                continue
            try:
                one = _look(Path(place, name), inner / name)
            except OSError:
                found.refused.append((inner / name).as_posix())
                continue
            if one is None:
                continue
            if len(found.files) >= most:
                found.note = f"Only the first {most:,} files are read. Choose a smaller folder."
                return found
            found.files.append(one)
    os.scandir(folder).close()  # If it has just vanished, nothing is known of what is missing.
    return found


def _is_wanted_folder(name: str) -> bool:
    return not name.startswith(".") and name not in _SKIPPED_FOLDERS


def _look(path: Path, relative: Path) -> FoundFile | None:
    """Return a regular file; None for a link, a pipe, a file that is gone, or a name that is no text.

    Raises OSError if the system does not show it.
    """
    try:
        facts = path.lstat()
        relative.as_posix().encode()
    except (FileNotFoundError, UnicodeEncodeError):
        return None
    if not stat.S_ISREG(facts.st_mode):
        return None
    return FoundFile(relative.as_posix(), facts.st_size, facts.st_mtime_ns)
