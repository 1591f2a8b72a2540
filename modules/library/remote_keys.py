"""Which of the user's environment variables may be sent to which server. A file that names a variable is a stranger's
word; the user's yes is bound to the variable and to the server's address."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from modules.families.remote_file import KEY_VARIABLE, parse_remote, url_origin
from modules.files.data_files import DataFileError, read_yaml
from modules.protocol.errors import ModelError, PaddockError
from modules.protocol.model_facts import ModelFacts
from modules.settings.user_settings import YamlStore


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
    return KeyRequest(file.key_env, url_origin(file.address)) if file.key_env else None


class KeyConsents:
    """What was allowed at start (`flags`: NAME=ADDRESS) and on the page (kept in `store`: address -> names)."""

    def __init__(self, store: YamlStore, flags: Iterable[str] = ()) -> None:
        """Raises PaddockError for a flag that is none."""
        self._store = store
        self._flags = {_read(flag) for flag in flags}

    def allows(self, wanted: KeyRequest) -> bool:
        """Whether the user agreed to this variable at this address."""
        kept = self._store.get(wanted.address)
        return wanted in self._flags or (isinstance(kept, list) and wanted.name in kept)

    def allow(self, wanted: KeyRequest) -> None:
        """Keep the user's yes."""
        kept = self._store.get(wanted.address)
        names = kept if isinstance(kept, list) else []
        self._store.set(wanted.address, sorted({*names, wanted.name}))

    def variables(self, facts: ModelFacts) -> dict[str, str]:
        """What the worker of this model is given. Raises KeyNotAllowed where the user was not asked yet."""
        wanted = read_key_request(facts)
        if wanted is None or wanted.name not in os.environ:
            return {}
        if not self.allows(wanted):
            raise KeyNotAllowed(
                f"{facts.name} wants the environment variable {wanted.name} to be sent to {wanted.address}. If you "
                "trust that server, allow it on the Model tab, or start Paddock with --allow-env "
                f"{wanted.name}={wanted.address}."
            )
        # With its address: the file may name another by the time the worker reads it.
        return {KEY_VARIABLE: f"{wanted.address} {os.environ[wanted.name]}"}


def _read(flag: str) -> KeyRequest:
    name, _, address = flag.partition("=")
    try:
        return KeyRequest(name.strip(), url_origin(address))
    except ValueError:
        raise PaddockError(
            f"--allow-env takes NAME=ADDRESS, such as MY_SERVER_KEY=https://host:8000, and {flag[:80]!r} is none."
        ) from None
