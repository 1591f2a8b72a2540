"""Which of the user's environment variables may be sent to which server.

A file that names a variable is untrusted. The user's consent is bound to the variable and the server's address.
"""

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
    """A remote model needs a variable that the user has not agreed to send to its address."""

    code = "consent"


@dataclass(frozen=True)
class KeyRequest:
    """The environment variable `name`, for the server at `address` (scheme, host and port)."""

    name: str
    address: str


def read_key_request(facts: ModelFacts) -> KeyRequest | None:
    """Return the variable that the model's file names; None if it names none or the model is not remote."""
    if facts.format != "remote":
        return None
    path = Path(facts.path)
    try:
        file = parse_remote(read_yaml(path, as_text=True), path.name)
    except (OSError, DataFileError, ModelError):
        return None
    return KeyRequest(file.key_env, url_origin(file.address)) if file.key_env else None


class KeyConsents:
    """The consents given at start (`flags`: NAME=ADDRESS) and on the page (`store`: address -> names)."""

    def __init__(self, store: YamlStore, flags: Iterable[str] = ()) -> None:
        """Raises PaddockError for an invalid flag."""
        self._store = store
        self._flags = {_read(flag) for flag in flags}

    def allows(self, wanted: KeyRequest) -> bool:
        """Return True if the user agreed to send this variable to this address."""
        saved = self._store.get(wanted.address)
        return wanted in self._flags or (isinstance(saved, list) and wanted.name in saved)

    def allow(self, wanted: KeyRequest) -> None:
        """Save the user's consent."""
        saved = self._store.get(wanted.address)
        names = saved if isinstance(saved, list) else []
        self._store.set(wanted.address, sorted({*names, wanted.name}))

    def variables(self, facts: ModelFacts) -> dict[str, str]:
        """Return the environment variables for this model's worker. Raises KeyNotAllowed without consent."""
        wanted = read_key_request(facts)
        if wanted is None or wanted.name not in os.environ:
            return {}
        if not self.allows(wanted):
            raise KeyNotAllowed(
                f"{facts.name} needs the environment variable {wanted.name} to be sent to {wanted.address}. If you "
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
            f"--allow-env takes NAME=ADDRESS, such as MY_SERVER_KEY=https://host:8000, but got {flag[:80]!r}."
        ) from None
