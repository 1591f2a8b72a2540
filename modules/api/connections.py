"""Limits on connections: slow headers, clients that do not read their answer, and the number of connections."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

# Time for a client to send a request's header, or to begin the next request.
HEADER_SECONDS = 20.0
# A client that reads nothing of a waiting answer for this long counts as gone.
READ_SECONDS = 120.0
# A page has six at most. Systems allow a process about a thousand open files.
MOST = 512


class LimitedHTTPProtocol(H11Protocol):
    """uvicorn's HTTP/1.1 with time limits; without them it waits without end."""

    header_seconds = HEADER_SECONDS
    read_seconds = READ_SECONDS
    most = MOST

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._waiting: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Return True if no request of this connection is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept the connection. If there are too many, close the one that has waited longest for a request."""
        super().connection_made(transport)  # type: ignore[arg-type]
        if len(self.connections) > self.most:
            others = [
                one for one in self.connections if isinstance(one, LimitedHTTPProtocol) and one is not self and one.idle
            ]
            oldest = min(others, key=lambda one: one._waiting.when() if one._waiting else 0.0, default=self)
            oldest.transport.abort()
        self._update_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        for timer in (self._waiting, self._unread):
            if timer:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take received bytes. The timer stops once the header is complete."""
        super().data_received(data)
        self._update_timer()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._update_timer()

    def pause_writing(self) -> None:
        """Start the timer for a client that reads more slowly than it is answered."""
        super().pause_writing()
        self._unread = self.loop.call_later(self.read_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Stop that timer, because the client has read."""
        super().resume_writing()
        if self._unread:
            self._unread.cancel()
            self._unread = None

    def _update_timer(self) -> None:
        if not self.idle:
            if self._waiting:
                self._waiting.cancel()
                self._waiting = None
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self.header_seconds, self._time_out)

    def _time_out(self) -> None:
        if not self.transport.is_closing() and self.conn.trailing_data[0]:
            self.transport.write(b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            self.transport.close()
            # Closing waits for a client that reads nothing, so abort later.
            self._waiting = self.loop.call_later(self.header_seconds, self.transport.abort)
        else:
            self.transport.abort()
