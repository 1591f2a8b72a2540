"""Both loopback addresses are served, with one port, where there are both."""

from __future__ import annotations

import errno
import socket
from contextlib import closing
from typing import Any

import pytest

from modules.api import listening_sockets as listen
from modules.api.listening_sockets import bind, bind_all, close_all
from modules.protocol.errors import PaddockError


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback address")


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 10):
            return True
    except OSError:
        return False


@needs_ipv6
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_both_loopback_addresses_have_one_port(host: str) -> None:
    listeners = bind_all(host, 0)
    port = listeners[0].getsockname()[1]
    assert [listener.getsockname()[1] for listener in listeners] == [port, port]
    assert all(_answers(name, port) for name in ("127.0.0.1", "::1", "localhost"))
    close_all(listeners)
    # A second start gets the same port at once.
    again = bind_all(host, port)
    assert len(again) == 2
    close_all(again)


@needs_ipv6
@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
def test_a_port_that_one_address_has_taken_is_in_use(taken: str) -> None:
    with closing(bind(taken, 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PaddockError, match=f"Port {port} is in use"):
            bind_all("127.0.0.1", port)
        if taken == "::1":
            # What was taken of it is given back.
            bind("127.0.0.1", port).close()


@pytest.mark.parametrize("error", [errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL])
def test_a_machine_without_ipv6_listens_all_the_same(monkeypatch: pytest.MonkeyPatch, error: int) -> None:
    real = socket.socket

    class Without(real):  # type: ignore[valid-type, misc]
        def __init__(self, family: int = -1, *given: Any, **named: Any) -> None:
            if family == socket.AF_INET6 and error == errno.EAFNOSUPPORT:
                raise OSError(error, "not supported")
            super().__init__(family, *given, **named)

        def bind(self, address: Any) -> None:
            if self.family == socket.AF_INET6:
                raise OSError(error, "not available")
            super().bind(address)

    monkeypatch.setattr("modules.api.listening_sockets.socket.socket", Without)
    listeners = bind_all("127.0.0.1", 0)
    assert [listener.getsockname()[0] for listener in listeners] == ["127.0.0.1"]
    close_all(listeners)


@needs_ipv6
def test_a_free_port_is_free_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    real, given = listen._bound, []

    def bound(host: str, port: int) -> socket.socket:
        given.append(host)
        if given.count("::1") == 1 and host == "::1":
            raise OSError(errno.EADDRINUSE, "taken")
        return real(host, port)

    monkeypatch.setattr(listen, "_bound", bound)
    listeners = bind_all("127.0.0.1", 0)
    assert given == ["127.0.0.1", "::1"] * 2 and len({one.getsockname()[1] for one in listeners}) == 1
    close_all(listeners)
