"""Connections that never end: half a header, an answer that nobody reads, more of them than the system has room for."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# What a client has for a request's header, or to begin the next request.
HEADER_SECONDS = 20.0
# A client that reads nothing for so long, of an answer that waits for it, has gone.
READ_SECONDS = 120.0
# A page holds six at most. Systems allow a process about a thousand open files.
MOST = 512


class LimitedHTTPProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which alone waits without end."""

    header_seconds = HEADER_SECONDS
    read_seconds = READ_SECONDS
    most = MOST

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._waiting: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether no request of this connection is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection. Where there are too many, the one that waits longest for a request makes room."""
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > self.most:
            others = [
                one for one in self.connections if isinstance(one, LimitedHTTPProtocol) and one is not self and one.idle
            ]
            oldest = min(others, key=lambda one: one._waiting.when() if one._waiting else 0.0, default=self)
            oldest.transport.abort()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clocks."""
        for clock in (self._waiting, self._unread):
            if clock:
                clock.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; the clock stops once it is a whole header."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._look()

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        if self._unread:
            self._unread.cancel()
            self._unread = None

    def _look(self) -> None:
        if not self.idle:
            if self._waiting:
                self._waiting.cancel()
                self._waiting = None
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self.header_seconds, self._give_up)

    def _give_up(self) -> None:
        if not self.transport.is_closing() and self.conn.trailing_data[0]:
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.transport.close()
            # Where the client reads nothing, closing waits for it.
            self._waiting = self.loop.call_later(self.header_seconds, self.transport.abort)
        else:
            self.transport.abort()
