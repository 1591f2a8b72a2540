"""Which of the user's environment variables may be sent to which server. A file that names a variable is a stranger's
word; the user's yes is bound to the variable and to the server's address."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modules.families.remote_file import parse_remote
from modules.files.data_files import DataFileError, read_yaml
from modules.protocol.errors import ModelError, PaddockError
from modules.protocol.model_facts import ModelFacts


class KeyNotAllowed(PaddockError):
    """A remote model wants a variable that the user has not agreed to send to its address."""

    code = "consent"


@dataclass(frozen=True)
class KeyRequest:
    """The environment variable `name`, for the server at `address` (scheme, host and port)."""

    name: str
    address: str


def read_key_request(facts: ModelFacts) -> KeyRequest | None:
    """The variable that the model's file names; None for one that names none, and for models of other formats."""
    if facts.format != "remote":
        return None
    path = Path(facts.path)
    try:
        file = parse_remote(read_yaml(path, as_text=True), path.name)
    except (OSError, DataFileError, ModelError):
        return None
