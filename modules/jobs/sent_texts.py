"""Files that the page sends for jobs: training data, and texts for calibration and evaluation."""

from __future__ import annotations

from pathlib import Path

from modules.files.paths import safe_file_path, write_atomically
from modules.jobs.job_spec import JobError
from modules.jobs.text_files import ENDINGS, ENDINGS_TEXT


def keep_text(folder: Path, name: str, content: bytes) -> Path:
    """Store the file `name` in `folder` and return its path. No earlier file is overwritten: of two different files
    with one name, the second becomes name-2. Raises JobError, PathError."""
    ending = max((one for one in ENDINGS if name.lower().endswith(one)), key=len, default="")
    if not ending:
        raise JobError(f"{name[:60]} cannot be read. Choose a {ENDINGS_TEXT} file.")
    stem = name[: -len(ending)]
    if not content.strip():
        raise JobError(f"{name[:60]} is empty. Choose another file.")
    path, number = safe_file_path(folder, stem, ending, "file"), 1
    while path.exists():
        if path.read_bytes() == content:
            return path
        number += 1
        path = safe_file_path(folder, f"{stem}-{number}", ending, "file")
    write_atomically(path, content)
    return path
