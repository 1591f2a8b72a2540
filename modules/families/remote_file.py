"""Parses `models/NAME.remote.yaml`, which describes a model on another server."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from modules.protocol.errors import ModelError, SettingError
from modules.protocol.schema import build, setting

# The host passes JSON, {origin of an address: key}, to the worker in this variable: those to which the user agreed.
KEY_VARIABLE = "PADDOCK_REMOTE_SECRET"
SUFFIXES = (".remote.yaml", ".remote.yml")
SERVERS = ("auto", "openai", "vllm", "llama.cpp", "tgi", "paddock")

_PORTS = {"http": 80, "https": 443}
_KEYS = frozenset({"key", "api_key", "apikey", "token", "secret", "password", "authorization"})
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# Ends of an address that users often copy along.
_TAILS = ("/chat/completions", "/completions", "/models")
_MOST_ADDRESSES = 64


@dataclass(frozen=True)
class RemoteFile:
    """The content of the file. Timeouts in seconds; 0 and "" mean that the server is asked.

    `others`: further addresses of the same model, where the file has a list of them.
    """

    address: str = setting("", label="Address", help="Such as http://192.168.0.5:8000 or https://host/v1.")
    model: str = setting("", label="Model", help="Its name on the server. May be empty if the server has only one.")
    key_env: str = setting("", label="Key variable", help="Name of the environment variable that holds the key.")
    server: str = setting("auto", label="Server", choices=SERVERS, help="What kind of server it is.")
    context: int = setting(0, label="Context length", minimum=0, maximum=100_000_000, unit="tokens")
    template: str = setting("", label="Chat template", help="A Jinja template with which chats are rendered here.")
    connect_timeout: float = setting(10.0, label="Connect timeout", minimum=0.1, maximum=600, unit="s")
    answer_timeout: float = setting(300.0, label="Answer timeout", minimum=0.1, maximum=86_400, unit="s")
    retries: int = setting(2, label="Retries", minimum=0, maximum=20)
    others: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """All addresses of the model, in the order of the file."""
        return (self.address, *self.others)

    def only(self, address: str) -> RemoteFile:
        """Return the file as it would be with this address alone."""
        return dataclasses.replace(self, address=address, others=())

    @property
    def api(self) -> str:
        """The address of its API, such as http://host:8000/v1, without a slash at the end."""
        address = self.address.strip().rstrip("/")
        for tail in _TAILS:
            address = address.removesuffix(tail)
        return address if urlsplit(address).path.strip("/") else f"{address}/v1"

    @property
    def root(self) -> str:
        """The address of the server without the path of its API."""
        return self.api.removesuffix("/v1")

    @property
    def private(self) -> bool:
        """True if requests are encrypted or stay on this machine, to whichever address they go."""
        split = [urlsplit(address) for address in self.addresses]
        return all(parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1") for parts in split)


def url_origin(address: str) -> str:
    """Return the scheme, host and port of an address in a normal form. Raises ValueError."""
    parts = urlsplit(address.strip())
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(address)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host.lower()}:{parts.port or _PORTS[parts.scheme]}"


def parse_remote(values: object, name: str) -> RemoteFile:
    """Return the checked content of the file. `values`: its YAML with scalars as texts.

    Raises ModelError. No message contains a key.
    """
    if not isinstance(values, dict) or not values.get("address"):
        raise ModelError(
            f"{name} names no server. Add a line with its address, such as address: http://192.168.0.5:8000."
        )
    if found := sorted(str(key) for key in values if str(key).lower().replace("-", "_") in _KEYS):
        raise ModelError(
            f"{name} holds a key ({found[0]}), and such a file may be shared. Put the key into an environment variable "
            "and write the variable's name, such as key_env: MY_SERVER_KEY."
        )
    addresses = _addresses(values["address"], name)
    for key, value in values.items():
        if key != "address" and not isinstance(value, (str, type(None))):
            raise ModelError(f"In {name}, {str(key)[:50]} must be one value, not a list or a table. Correct it.")
    known = {str(key): value for key, value in values.items() if value is not None}
    try:
        file = build(RemoteFile, {**known, "address": addresses[0]})
    except SettingError as error:
        raise ModelError(f"{name}: {error.message}") from None
    file = dataclasses.replace(file, others=tuple(addresses[1:]))
    for address in file.addresses:
        _check_address(address, name)
    if len(apis := {file.only(address).api for address in addresses}) < len(addresses):
        raise ModelError(f"{name} names an address twice, of these: {', '.join(sorted(apis))}. Name each once.")
    if file.key_env and not _VARIABLE.fullmatch(file.key_env):
        raise ModelError(
            f"key_env in {name} must be the name of an environment variable, such as MY_SERVER_KEY, not the key itself."
        )
    return file


def _addresses(value: object, name: str) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    found = [address for address in listed if isinstance(address, str) and address]
    if len(found) < len(listed) or len(found) > _MOST_ADDRESSES:
        raise ModelError(
            f"In {name}, address must be one address, or a list of at most {_MOST_ADDRESSES} addresses of servers with "
            "the same model. Correct it."
        )
    return found


def _check_address(address: str, name: str) -> None:
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or re.search(r"\s", address.strip()):
        raise ModelError(
            f"The address in {name} is not valid. Write it like http://192.168.0.5:8000 or https://host/v1. Write "
            "several addresses of one model as a list."
        )
    if parts.username or parts.password or parts.query:
        raise ModelError(
            f"The address in {name} contains more than an address, perhaps a key. Write only the address, and name the "
            "environment variable with the key under key_env."
        )
