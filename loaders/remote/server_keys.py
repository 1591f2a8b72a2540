"""The key of each server, from the environment of the worker."""

from __future__ import annotations

import json
import os

from modules.families.remote_file import KEY_VARIABLE, RemoteFile, url_origin
from modules.protocol.errors import EnvironmentBroken


def take_keys(file: RemoteFile) -> dict[str, str]:
    """Return {address: key} for each address of the file; "" where it needs none. Raises EnvironmentBroken.

    A key is only for the addresses to which the host's user agreed. The variable with them is deleted.
    """
    allowed = json.loads(os.environ.pop(KEY_VARIABLE, "") or "{}") if file.key_env else {}
    return {address: _key(file, address, allowed) for address in file.addresses}


def _key(file: RemoteFile, address: str, allowed: dict[str, str]) -> str:
    if not file.key_env:
        return ""
    # By hand, a worker is started with the variable itself.
    key = allowed.get(url_origin(address), os.environ.get(file.key_env, "")).strip()
    if not key:
        raise EnvironmentBroken(
            f"The key for {address} should be in the environment variable {file.key_env}, which is not set. Set it and "
            "start Paddock again."
        )
    if not key.isascii() or not key.isprintable():
        raise EnvironmentBroken(f"The key in the environment variable {file.key_env} is no text line. Set it again.")
    return key
