"""Who may reach Paddock, and how: the flags for address, secrets, TLS and other sites, and what they mean."""

from __future__ import annotations

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path

from modules.protocol.errors import PaddockError

_MAX_SECRET = 4096
# First parts of Paddock's own paths. A root path must differ from them.
_TAKEN = ("v1", "file", "extensions", "assets", "static", "gradio_api", "metrics", "login", "logout")
_ORIGIN = re.compile(r"(https?://(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+))(?::(\d{1,5}))?", re.IGNORECASE)
_PUBLIC = re.compile(rf"({_ORIGIN.pattern})((?:/[^?#\s]*)?)", re.IGNORECASE)
_WORD = r"(?!\.{1,2}(?:/|$))[\w.~-]+"
_PATH = re.compile(rf"(?!(?:{'|'.join(_TAKEN)}|page-[^/]*)(?:/|$)){_WORD}(?:/{_WORD})*", re.ASCII)
# Browsers leave these out of an Origin.
_PORTS = {"http": "80", "https": "443"}
ANY_ORIGIN = "*"


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may reach this run of Paddock, and how.

    `port`: 0 means any free port. `public_origin` and `root_path`: the address at which a reverse proxy serves Paddock,
    such as "https://example.org" and "/chat"; "" without a proxy. `ssl_certfile` and `ssl_keyfile`: PEM files for
    HTTPS; the key may be in the certificate's file. `cors_origins`: other sites whose pages may use the API, as
    browsers write them in Origin, or ANY_ORIGIN. `accounts`: people log in, each with chats of their own.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    listen: bool = False
    password: str = ""
    api_key: str = ""
    admin_key: str = ""
    public_origin: str = ""
    root_path: str = ""
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    cors_origins: tuple[str, ...] = ()
    accounts: bool = False

    @property
    def has_secret(self) -> bool:
        """True if requests need a password, a key or a session."""
        return bool(self.password or self.api_key or self.admin_key or self.accounts)


def add_access_flags(group: argparse._ArgumentGroup) -> None:
    """Add the flags that `read_access` reads."""
    group.add_argument("--port", type=int, default=7860, help="port of the page and the API; 0 means any free port")
    group.add_argument("--listen", action="store_true", help="serve other machines too; needs a password or a key")
    group.add_argument(
        "--no-password", action="store_true", help="let --listen serve everyone in the network without a secret"
    )
    _add_secret(group, "password", "require this password (user name: paddock)")
    _add_secret(group, "api-key", "require this key from API clients; it gives access to /v1/ only")
    _add_secret(group, "admin-key", "a key to load, unload and run jobs over the API; --api-key then only generates")
    group.add_argument("--ssl-certfile", type=Path, metavar="FILE", help="serve HTTPS with this certificate (PEM)")
    group.add_argument(
        "--ssl-keyfile",
        type=Path,
        metavar="FILE",
        help="the certificate's private key (PEM; default: in the certificate's file)",
    )
    group.add_argument(
        "--cors-allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="let pages of this site use the API, such as https://example.org; repeat it to add several",
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


def _add_secret(group: argparse._ArgumentGroup, flag: str, help: str) -> None:
    variable = f"PADDOCK_{flag.replace('-', '_').upper()}"
    group.add_argument(f"--{flag}", default="", help=help)
    group.add_argument(
        f"--{flag}-file",
        type=Path,
        metavar="FILE",
        help=f"read it from the first line of this file; or set {variable}",
    )


def read_access(arguments: argparse.Namespace, accounts: bool = False) -> Access:
    """Return the settings of these arguments. Raise PaddockError if they are wrong or conflict.

    `accounts`: there are some, which is a secret enough to serve other machines.
    Arguments of a sub-command, which serves nothing, have none of the flags.
    """
    if not hasattr(arguments, "listen"):
        return Access(port=0)
    listen, secrets = bool(arguments.listen), _secrets(arguments)
    if listen and not any(secrets.values()) and not accounts and not arguments.no_password:
        raise PaddockError(
            "--listen opens Paddock to your whole network, so it needs a secret: add --password-file FILE or "
            "--api-key-file FILE, or set PADDOCK_PASSWORD or PADDOCK_API_KEY. --password WORD and --api-key KEY work "
            "too, but other users can see them in the list of processes. --no-password opens it to everyone."
        )
    if arguments.no_password and (accounts or any(secrets.values())):
        raise PaddockError("--no-password was given, but there is a password, a key or an account. Remove one of them.")
    public_origin, root_path = parse_public_address(arguments.public_url, arguments.root_path)
    if arguments.ssl_keyfile and not arguments.ssl_certfile:
        raise PaddockError("--ssl-keyfile needs the certificate that the key belongs to: add --ssl-certfile FILE.")
    origins = tuple(parse_origin(text) for text in arguments.cors_allow_origin)
    if ANY_ORIGIN in origins and not accounts and not any(secrets.values()):
        raise PaddockError(
            "--cors-allow-origin '*' lets every site that you open use your model, so it needs a key: add "
            "--api-key-file FILE, or name the sites."
        )
    return Access(
        host="0.0.0.0" if listen else "127.0.0.1",
        port=arguments.port,
        listen=listen,
        **secrets,
        public_origin=public_origin,
        root_path=root_path,
        ssl_certfile=arguments.ssl_certfile,
        ssl_keyfile=arguments.ssl_keyfile,
        cors_origins=origins,
        accounts=accounts,
    )


def parse_origin(text: str) -> str:
    """Return a site's origin as browsers write it, or ANY_ORIGIN. Raise PaddockError for another text."""
    if text == ANY_ORIGIN:
        return text
    parts = _ORIGIN.fullmatch(text.removesuffix("/"))
    if parts is None:
        raise PaddockError(
            f"--cors-allow-origin {text} is not a site's address. Write it as https://example.org or "
            "http://localhost:3000, without a path."
        )
    place, port = parts.group(1).lower(), parts.group(2)
    return place if port in (None, _PORTS[place.partition(":")[0]]) else f"{place}:{int(port)}"


def parse_public_address(url: str, root_path: str) -> tuple[str, str]:
    """Return (origin, path) at which a reverse proxy serves the page. Raise PaddockError for an invalid address."""
    parts = _PUBLIC.fullmatch(url.strip())
    if url and not parts:
        raise PaddockError(
            f"--public-url {url} is not an address. Write it as https://example.org or https://example.org/chat."
        )
    origin, inner = (parts.group(1).lower(), parts.groups()[-1]) if parts else ("", "")
    path = (root_path or inner or "").strip("/")
    if root_path and inner and inner.strip("/") != path:
        raise PaddockError("--public-url and --root-path have different paths. Omit --root-path.")
    if path and not _PATH.fullmatch(path):
        raise PaddockError(
            f"The path /{path} cannot be used. Use only letters, digits and -._~, and do not begin it with "
            f"{', '.join(_TAKEN)}, which Paddock uses itself."
        )
    return origin, f"/{path}" if path else ""


def _secrets(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the secrets by their field of Access, "" for one that was not given. Raise PaddockError."""
    found = {name: _secret(arguments, name) for name in ("password", "api_key", "admin_key")}
    for one, other in (("password", "api_key"), ("password", "admin_key"), ("admin_key", "api_key")):
        if found[one] and found[one] == found[other]:
            flags = [f"--{name.replace('_', '-')}" for name in (one, other)]
            raise PaddockError(
                f"{flags[0]} and {flags[1]} are the same, so a person with the one could do all that the other opens. "
                "Choose different ones."
            )
    return found


def _secret(arguments: argparse.Namespace, name: str) -> str:
    """Return the secret from its flag, from the file that a flag names, or from the environment; "" without any.

    Raises PaddockError for a file without a secret.
    """
    if secret := str(getattr(arguments, name)):
        return secret
    path = getattr(arguments, f"{name}_file")
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
