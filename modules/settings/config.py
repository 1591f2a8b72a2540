"""Command-line flags and the frozen Config made of them. Values that the page can change are in Preferences."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.files.paths import Paths
from modules.protocol.errors import PaddockError
from modules.protocol.model_facts import AIMS

_MAX_SECRET = 4096
# First parts of Paddock's own paths. A root path must differ from them.
_TAKEN = ("v1", "file", "extensions", "assets", "static", "gradio_api")
_PUBLIC = re.compile(r"(https?://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?)((?:/[^?#\s]*)?)", re.IGNORECASE)
_WORD = r"(?!\.{1,2}(?:/|$))[\w.~-]+"
_PATH = re.compile(rf"(?!(?:{'|'.join(_TAKEN)}|page-[^/]*)(?:/|$)){_WORD}(?:/{_WORD})*", re.ASCII)


@dataclass(frozen=True)
class Config:
    """How this run of Paddock was started.

    `root`: the folder of the program. `data`: the folder of models/, user_data/ and .envs/ (None: `root`). `port`: 0
    means any free port. `public_origin` and `root_path`: the address at which a reverse proxy serves Paddock, such as
    "https://example.org" and "/chat"; "" without a proxy. `load_on_request`: API requests load models by
    name. `aliases`: other names of models for the API, with the model's name.
    """

    root: Path
    data: Path | None = None
    host: str = "127.0.0.1"
    port: int = 7860
    listen: bool = False
    password: str = ""
    api_key: str = ""
    public_origin: str = ""
    root_path: str = ""
    models: Path | None = None
    user_data: Path | None = None
    model: str = ""
    loader: str = ""
    no_model: bool = False
    show_echo: bool = False
    aim: str = ""
    load_anyway: bool = False
    trust_pickle: tuple[str, ...] = ()
    trust_remote_code: tuple[str, ...] = ()
    allow_env: tuple[str, ...] = ()
    load_on_request: bool = True
    aliases: tuple[tuple[str, str], ...] = ()

    @property
    def paths(self) -> Paths:
        """The folders and files of this run."""
        data = self.data or self.root
        return Paths(self.root, self.models or data / "models", self.user_data or data / "user_data", data / ".envs")


def parse_model_name(text: str) -> str:
    """Return the name without a slash at its end, which a shell adds when it completes a folder's name."""
    return text.rstrip("/") or text


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every sub-command takes. Defaults would override flags before the command."""
    group = parser.add_argument_group("folders")
    group.add_argument("--models", type=Path, metavar="FOLDER", help="models folder (default: models/)")
    group.add_argument("--user-data", type=Path, metavar="FOLDER", help="chats, settings, logs (default: user_data/)")
    trust = parser.add_argument_group("trust (read at start only)")
    consent: dict[str, Any] = {"action": "append", "type": parse_model_name, "metavar": "MODEL"}
    trust.add_argument("--trust-pickle", **consent, help="allow this model's pickle files")
    trust.add_argument("--trust-remote-code", **consent, help="allow this model's own Python code")
    trust.add_argument(
        "--allow-env",
        action="append",
        metavar="NAME=ADDRESS",
        help="allow sending this environment variable to this server",
    )
    parser.add_argument("--aim", choices=AIMS, help="prefer loaders optimised for this (default: the page's setting)")
    parser.add_argument("--no-venv", action="store_true", help="use the current Python instead of .venv")
    parser.add_argument(
        "--load-anyway", action="store_true", help="load models even if the memory plan says that they do not fit"
    )
    parser.add_argument("--show-echo", action="store_true", help="offer the echo loader, which is made for tests")


def add_serve_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags for serving the page."""
    group = parser.add_argument_group("the page")
    group.add_argument("--port", type=int, default=7860, help="port of the page and the API; 0 means any free port")
    group.add_argument("--listen", action="store_true", help="serve other machines too; needs --password or --api-key")
    group.add_argument("--password", default="", help="require this password (user name: paddock)")
    group.add_argument(
        "--password-file",
        type=Path,
        metavar="FILE",
        help="read it from the first line of this file; or set PADDOCK_PASSWORD",
    )
    group.add_argument("--api-key", default="", help="require this key from API clients; it gives access to /v1/ only")
    group.add_argument(
        "--api-key-file",
        type=Path,
        metavar="FILE",
        help="read it from the first line of this file; or set PADDOCK_API_KEY",
    )
    group.add_argument(
        "--public-url",
        default="",
        metavar="URL",
        help="address at which a reverse proxy serves the page, with its path",
    )
    group.add_argument(
        "--root-path", default="", metavar="PATH", help="only the path, if the proxy's host name is not known"
    )
    group.add_argument(
        "--model",
        type=parse_model_name,
        default="",
        help="load this model at start (default: the demo, or the last one used)",
    )
    group.add_argument("--loader", default="", help="use this loader (default: the best one)")
    group.add_argument("--no-model", action="store_true", help="do not load a model at start")
    group.add_argument(
        "--no-load-on-request", action="store_true", help="do not load a model because an API request names it"
    )
    group.add_argument(
        "--alias",
        action="append",
        default=[],
        metavar="ALIAS=MODEL",
        help="let API clients call this model by another name, such as gpt-4o=demo; repeat it to add several",
    )


def parse_public_address(url: str, root_path: str) -> tuple[str, str]:
    """Return (origin, path) at which a reverse proxy serves the page. Raise PaddockError for an invalid address."""
    parts = _PUBLIC.fullmatch(url.strip())
    if url and not parts:
        raise PaddockError(
            f"--public-url {url} is not an address. Write it as https://example.org or https://example.org/chat."
        )
    origin, inner = (parts.group(1).lower(), parts.group(2)) if parts else ("", "")
    path = (root_path or inner or "").strip("/")
    if root_path and inner and inner.strip("/") != path:
        raise PaddockError("--public-url and --root-path have different paths. Omit --root-path.")
    if path and not _PATH.fullmatch(path):
        raise PaddockError(
            f"The path /{path} cannot be used. Use only letters, digits and -._~, and do not begin it with "
            f"{', '.join(_TAKEN)}, which Paddock uses itself."
        )
    return origin, f"/{path}" if path else ""


def _secret(arguments: argparse.Namespace, name: str) -> str:
    """Return the secret from its flag, from the file that a flag names, or from the environment; "" without any.

    Raises PaddockError for a file without a secret.
    """
    if not hasattr(arguments, name):
        return ""
    if secret := str(getattr(arguments, name)):
        return secret
    path = getattr(arguments, f"{name}_file", None)
    if path is None:
        return os.environ.get(f"PADDOCK_{name.upper()}", "")
    flag = f"--{name.replace('_', '-')}-file"
    try:
        with Path(path).open(encoding="utf-8-sig") as file:
            secret = file.readline(_MAX_SECRET).rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise PaddockError(f"{flag}: {path} cannot be read ({error}). Choose a text file.") from None
    if not secret.strip():
        raise PaddockError(f"{flag}: the first line of {path} is empty. Write the secret there.")
    return secret


def parse_aliases(pairs: list[str]) -> tuple[tuple[str, str], ...]:
    """Parse `ALIAS=MODEL` texts. Raise PaddockError."""
    found = {}
    for pair in pairs:
        alias, equals, name = pair.partition("=")
        alias, name = alias.strip().rstrip("/"), parse_model_name(name.strip())
        if not (alias and equals and name):
            raise PaddockError(f"--alias takes ALIAS=MODEL, such as gpt-4o=demo, not {pair!r}.")
        found[alias] = name
    return tuple(found.items())


def build_config(arguments: argparse.Namespace, root: Path, data: Path | None = None) -> Config:
    """Return the Config of these arguments. `root` and `data`: as in Config. Raise PaddockError if they conflict."""
    listen = bool(getattr(arguments, "listen", False))
    password, api_key = (_secret(arguments, name) for name in ("password", "api_key"))
    if listen and not (password or api_key):
        raise PaddockError(
            "--listen opens Paddock to your whole network, so it needs a secret: add --password-file FILE or "
            "--api-key-file FILE, or set PADDOCK_PASSWORD or PADDOCK_API_KEY. --password WORD and --api-key KEY work "
            "too, but other users can see them in the list of processes."
        )
    if password and password == api_key:
        raise PaddockError(
            "--password and --api-key are the same, so every API client could do all that the page can. Choose "
            "different ones."
        )
    public_origin, root_path = parse_public_address(
        getattr(arguments, "public_url", ""), getattr(arguments, "root_path", "")
    )
    # A download creates the folder.
    creates = getattr(arguments, "command", None) == "download"
    if (models := arguments.models) and not models.is_dir() and (models.exists() or not creates):
        raise PaddockError(f"{models}, given with --models, is not a folder. Create it, or choose another.")
    return Config(
        root=root,
        data=data,
        host="0.0.0.0" if listen else "127.0.0.1",
        port=int(getattr(arguments, "port", 0)),
        listen=listen,
        password=password,
        api_key=api_key,
        public_origin=public_origin,
        root_path=root_path,
        models=arguments.models.resolve() if arguments.models else None,
        user_data=arguments.user_data.resolve() if arguments.user_data else None,
        model=getattr(arguments, "model", "") or "",
        loader=getattr(arguments, "loader", "") or "",
        no_model=bool(getattr(arguments, "no_model", False)),
        show_echo=arguments.show_echo,
        aim=getattr(arguments, "aim", "") or "",
        load_anyway=arguments.load_anyway,
        trust_pickle=tuple(arguments.trust_pickle or ()),
        trust_remote_code=tuple(arguments.trust_remote_code or ()),
        allow_env=tuple(getattr(arguments, "allow_env", None) or ()),
        load_on_request=not getattr(arguments, "no_load_on_request", False),
        aliases=parse_aliases(getattr(arguments, "alias", [])),
    )
