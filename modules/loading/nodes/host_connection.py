"""A node's connection to its host: joining, the stream of what the host says, reports, and files of models."""

from __future__ import annotations

import json
import socket
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from modules.loading.nodes.node_facts import NodeFacts, NodeRefused
from modules.loading.nodes.registry import LOST_SECONDS
from modules.protocol.errors import PaddockError

DEFAULT_PORT = 7860
_ROUTES = "/paddock/models/nodes"
_CONNECT_SECONDS = 10.0


class HostGone(PaddockError):
    """The host does not answer, or the connection to it ended."""

    code = "host_gone"


class HostConnection:
    """Talks to one host. `address`: a name or an IP address, with or without a port, or a whole URL."""

    def __init__(self, address: str, key: str) -> None:
        address = address.strip()
        url = address if "://" in address else f"http://{address}"
        try:
            parts = urlsplit(url)
            self.host, port = parts.hostname or "", parts.port
            # Such as two dots in a row: no name server is asked for it.
            self.host.encode("idna")
        except ValueError:
            self.host, port = "", None
        if not self.host.isprintable() or not self.host.strip() or parts.scheme not in ("http", "https"):
            raise PaddockError(
                f"{address[:200]!r} is not the address of a host. Give it as in 192.168.0.5 or 192.168.0.5:7860."
            )
        default = 443 if parts.scheme == "https" else DEFAULT_PORT
        self.port = port or default
        name = f"[{self.host}]" if ":" in self.host else self.host
        self.address = f"{parts.scheme}://{name}:{self.port}{parts.path.rstrip('/')}"
        # A proxy would hide the addresses by which the machines reach each other.
        self._client = httpx.Client(
            base_url=self.address + _ROUTES,
            # Bytes, because httpx refuses a text with letters beyond ASCII.
            headers={b"Authorization": b"Bearer " + key.encode("utf-8", "surrogateescape")} if key else {},
            timeout=httpx.Timeout(_CONNECT_SECONDS, read=LOST_SECONDS),
            trust_env=False,
        )

    def ends(self) -> tuple[str, str]:
        """Return this machine's address on the way to the host, and the host's. Raise HostGone."""
        try:
            with socket.create_connection((self.host, self.port), _CONNECT_SECONDS) as probe:
                return probe.getsockname()[0], probe.getpeername()[0]
        except OSError as error:
            raise HostGone(
                f"No Paddock answers at {self.address} ({error.strerror or error}). Start it there with --listen and "
                "--admin-key-file FILE, and let its firewall admit this machine."
            ) from None

    def join(self, facts: NodeFacts) -> Generator[dict[str, object], None, None]:
        """Join, and yield what the host says until the connection ends. Raise NodeRefused, or HostGone."""
        try:
            with self._client.stream("POST", "/join", json=vars(facts)) as answer:
                if answer.status_code != 200:
                    answer.read()
                    raise NodeRefused(_sentence(answer))
                for line in filter(None, answer.iter_lines()):
                    if not isinstance(message := json.loads(line), dict):
                        raise ValueError("it sent no message")
                    yield message
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            raise HostGone(
                f"The connection to the host {self.address} ended ({error}). Look whether Paddock runs there."
            ) from None
        raise HostGone(f"The host {self.address} has ended, or does not know this node any more.")

    def report(self, message: Mapping[str, object]) -> None:
        """Send a sign of life or a report about a load. Raise HostGone, or NodeRefused."""
        try:
            answer = self._client.post("/report", json=message)
        except (httpx.HTTPError, RuntimeError) as error:  # the latter where another thread closed the client
            raise HostGone(f"The host {self.address} does not answer ({error}).") from None
        if answer.status_code != 200:
            raise NodeRefused(_sentence(answer))

    def fetch(self, node: str, model: str, name: str, target: Path) -> Iterator[int]:
        """Write a file of a model to `target`, and yield the bytes of each piece. Raise HostGone, or NodeRefused."""
        body = {"node": node, "model": model, "file": name}
        try:
            with self._client.stream("POST", "/file", json=body) as answer, target.open("wb") as file:
                if answer.status_code != 200:
                    answer.read()
                    raise NodeRefused(_sentence(answer))
                for piece in answer.iter_bytes():
                    file.write(piece)
                    yield len(piece)
        except httpx.HTTPError as error:
            raise HostGone(f"The host {self.address} does not answer ({error}).") from None

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Return the answer of another of the routes. Raise HostGone, or NodeRefused."""
        try:
            # The whole address, because httpx puts a slash behind base_url.
            answer = self._client.request(method, f"{self.address}{_ROUTES}{path}", json=body)
        except httpx.HTTPError as error:
            raise HostGone(
                f"No Paddock answers at {self.address} ({error}). Start it there with --listen and --admin-key-file "
                "FILE, and let its firewall admit this machine."
            ) from None
        if answer.status_code != 200:
            raise NodeRefused(_sentence(answer))
        try:
            return answer.json()
        except ValueError:
            raise HostGone(
                f"What answers at {self.address} is no Paddock. Give the address and the port of the host."
            ) from None

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def _sentence(answer: httpx.Response) -> str:
    """Return the sentence of a refusal."""
    try:
        error = answer.json()["error"]
        message = error if isinstance(error, str) else error["message"]
    except (ValueError, KeyError, TypeError):
        message = f"The host answered {answer.status_code}. Start the same version of Paddock on both machines."
    if answer.status_code in (401, 403):
        return f"The host refuses the key. {message} Give its admin key: --key-file FILE, or --key KEY"
    return str(message)
