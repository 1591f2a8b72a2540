"""Which of the user's environment variables may be sent to which server.

A file that names a variable is untrusted. The user's consent is bound to the variable and the server's address. A file
with several addresses needs it for each of them.
"""

from __future__ import annotations

import json
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


def read_key_requests(facts: ModelFacts) -> list[KeyRequest]:
    """Return the variable that the model's file names, with each address; [] if it names none or is not remote."""
    if facts.format != "remote":
        return []
    path = Path(facts.path)
    try:
        file = parse_remote(read_yaml(path, as_text=True), path.name)
    except (OSError, DataFileError, ModelError):
        return []
    origins = dict.fromkeys(url_origin(address) for address in file.addresses)
    return [KeyRequest(file.key_env, origin) for origin in origins] if file.key_env else []


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
        wanted = read_key_requests(facts)
        if not wanted or wanted[0].name not in os.environ:
            return {}
        if missing := [request for request in wanted if not self.allows(request)]:
            flags = " ".join(f"--allow-env {request.name}={request.address}" for request in missing)
            servers = "those servers" if missing[1:] else "that server"
            raise KeyNotAllowed(
                f"{facts.name} needs the environment variable {wanted[0].name} to be sent to "
                f"{', '.join(request.address for request in missing)}. If you trust {servers}, allow it on the Model "
                f"tab, or start Paddock with {flags}."
            )
        # With the addresses: the file may name others by the time the worker reads it.
        return {KEY_VARIABLE: json.dumps({request.address: os.environ[request.name] for request in wanted})}


def _read(flag: str) -> KeyRequest:
    name, _, address = flag.partition("=")
    try:
        return KeyRequest(name.strip(), url_origin(address))
    except ValueError:
        raise PaddockError(
            f"--allow-env takes NAME=ADDRESS, such as MY_SERVER_KEY=https://host:8000, but got {flag[:80]!r}."
        ) from None
