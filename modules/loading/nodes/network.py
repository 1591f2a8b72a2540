"""This machine's network interfaces, and whether two machines can reach each other."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import psutil

from modules.protocol.errors import PaddockError

PROBE_SECONDS = 5.0


def interface_of(address: str) -> str:
    """Return the name of the network interface with this IPv4 address, "" if none has it."""
    return next((name for name, own in _interfaces() if own == address), "")


def address_of(interface: str) -> str:
    """Return the IPv4 address of a network interface. Raise PaddockError if there is none."""
    found = dict(_interfaces())
    if interface not in found:
        names = ", ".join(found) or "none"
        raise PaddockError(f"No network interface {interface[:50]!r} has an IPv4 address. Those that have: {names}.")
    return found[interface]


def _interfaces() -> list[tuple[str, str]]:
    """Return (name, IPv4 address) of each interface that has one."""
    return [
        (name, entry.address)
        for name, entries in psutil.net_if_addrs().items()
        for entry in entries
        if entry.family == socket.AF_INET
    ]


@contextlib.contextmanager
def open_port(address: str) -> Iterator[int]:
    """Listen on a free port of this address while the block runs, and yield the port. Raises OSError."""
    with socket.create_server((address, 0)) as listener:
        yield listener.getsockname()[1]


def reaches(address: str, port: int) -> bool:
    """Return True if a connection to this port can be made."""
    try:
        with socket.create_connection((address, port), PROBE_SECONDS):
            return True
    except OSError:
        return False


def firewall_sentence(source: str, target: str, address: str) -> str:
    """Return why `source` cannot reach `target`, as sentences with a next step."""
    return (
        f"{source} cannot open a connection to {target} ({address}). A firewall may be between them: vLLM's processes "
        "choose free ports, so allow all TCP ports between the two machines, then load again."
    )
