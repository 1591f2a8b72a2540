"""Facts of `NAME.remote.yaml`, which names a model on another server. The server is contacted only by a load."""

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
    found.add("address", ", ".join(remote.addresses), path.name)
    found.add("model", remote.model, path.name)
    found.add("context", remote.context, path.name)
    if remote.template:
        found.add("template", path.name, f"{path.name}: template")
    one_of = "one of " if remote.others else ""
    found.warnings.append(f"What you write is sent to {one_of}{', '.join(remote.addresses)}.")
    if not remote.private:
        which = "At least one address" if remote.others else "The address"
        found.warnings.append(f"{which} is not encrypted (http), so anyone on the network path can read what is sent.")
    if remote.key_env:
        known = bool(os.environ.get(remote.key_env))
        state = "is sent there once you allow it" if known else "is needed there, but is not set"
        found.warnings.append(f"The key in the environment variable {remote.key_env} {state}.")
