"""Read `mcp.json`: the MCP servers, in the form that other programs use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from modules.protocol.errors import PaddockError

_LONGEST_FILE = 1_000_000
_MOST_SERVERS = 64
_LONGEST_NAME = 64
_FORM = 'Write it as {"mcpServers": {"NAME": {"command": "…", "args": ["…"]}}}, or with "url" for a server on the web.'


class ServersFileError(PaddockError):
    """mcp.json cannot be used."""


@dataclass(frozen=True)
class ServerConfig:
    """One server: a program that is started (`command`), or an address (`url`). `problem`: why it cannot be used."""

    name: str
    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    cwd: str = ""
    url: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    disabled: bool = False
    problem: str = ""

    @property
    def mark(self) -> str:
        """Return what changes with the program or the address: what was allowed to one holds for no other."""
        return hashlib.sha256(json.dumps([self.command, self.args, self.url]).encode()).hexdigest()[:8]


def read_servers(path: Path) -> list[ServerConfig]:
    """Return the servers of the file; none if there is no file. Raises ServersFileError."""
    try:
        text = path.read_text(encoding="utf-8-sig") if path.stat().st_size <= _LONGEST_FILE else None
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise ServersFileError(f"{path.name} cannot be read ({error}). Correct it, then try again.") from error
    if text is None:
        raise ServersFileError(f"{path.name} has more than {_LONGEST_FILE:,} bytes. {_FORM}")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ServersFileError(f"{path.name} is not JSON ({error}). Correct it, then try again.") from None
    # VS Code calls it "servers".
    listed = data.get("mcpServers", data.get("servers")) if isinstance(data, dict) else None
    if not isinstance(listed, dict):
        raise ServersFileError(f"{path.name} names no servers. {_FORM}")
    if len(listed) > _MOST_SERVERS:
        raise ServersFileError(f"{path.name} has {len(listed)} servers. At most {_MOST_SERVERS} are allowed.")
    return [_server(name, entry) for name, entry in listed.items()]


def _server(name: str, entry: Any) -> ServerConfig:
    shown = name.strip()[:_LONGEST_NAME] or "server"
    if not isinstance(entry, Mapping):
        return ServerConfig(shown, problem=f"Its entry in mcp.json is no object. {_FORM}")
    command, url = entry.get("command", ""), entry.get("url", "")
    args, cwd = entry.get("args") or [], entry.get("cwd") or ""
    env, headers = entry.get("env") or {}, entry.get("headers") or {}
    problem = ""
    if not isinstance(command, str) or not isinstance(url, str) or bool(command.strip()) == bool(url.strip()):
        problem = 'It needs either a "command", which is a program to start, or a "url".'
    elif not isinstance(args, list) or not all(isinstance(one, (str, int, float)) for one in args):
        problem = 'Its "args" must be a list of texts.'
    elif not isinstance(cwd, str):
        problem = 'Its "cwd" must be a folder, as text.'
    elif not _is_texts(env) or not _is_texts(headers):
        problem = 'Its "env" and "headers" must be objects with texts: {"NAME": "value"}.'
    elif url and urlsplit(url).scheme not in ("http", "https"):
        problem = 'Its "url" must begin with http:// or https://.'
    elif entry.get("type") == "sse":
        problem = 'The type "sse" was replaced by streamable HTTP. Use the address for that, with the type "http".'
    if problem:
        return ServerConfig(shown, problem=f"{problem} Correct its entry in mcp.json.")
    texts = {key: str(value) for key, value in env.items()}
    return ServerConfig(
        shown,
        command.strip(),
        tuple(str(one) for one in args),
        texts,
        cwd,
        url.strip(),
        {key: str(value) for key, value in headers.items()},
        entry.get("disabled") is True,
    )


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(one, (str, int, float)) for one in value.values())
