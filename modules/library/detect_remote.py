"""The facts of `NAME.remote.yaml`: a model that another server runs. Nobody is asked here; the load does that."""

from __future__ import annotations

import os
from pathlib import Path

from modules.families.remote_file import parse_remote
from modules.files.data_files import DataFileError, read_yaml
from modules.library.facts_builder import FactsBuilder
from modules.protocol.errors import ModelError


def detect_remote(path: Path, found: FactsBuilder) -> None:
    """Note what the file at `path` says. Raises OSError."""
    found.add("format", "remote", f"file name: {path.name}")
    try:
        remote = parse_remote(read_yaml(path, as_text=True), path.name)
    except (DataFileError, ModelError) as error:
        found.problems.append(error.message)
        return
    found.add("purpose", "generate", path.name)
    found.add("address", remote.address, path.name)
    found.add("model", remote.model, path.name)
    found.add("context", remote.context, path.name)
    if remote.template:
        found.add("template", path.name, f"{path.name}: template")
    found.warnings.append(f"What you write is sent to {remote.address}.")
    if not remote.private:
        found.warnings.append("The address is not encrypted (http): whoever is between can read what is sent.")
    if remote.key_env:
        there = "is sent there once you allow it" if os.environ.get(remote.key_env) else "belongs there, but is not set"
        found.warnings.append(f"The key in the environment variable {remote.key_env} {there}.")
