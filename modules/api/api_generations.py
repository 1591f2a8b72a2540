"""The generations that API clients started and that have not ended."""

from __future__ import annotations

import threading

from modules.generation.generation import Generation


class ApiGenerations:
    """Running and queued generations of API clients. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[Generation] = set()

    def add(self, generation: Generation) -> None:
        """Remember a generation until it ends."""
        with self._lock:
            self._running.add(generation)

        def forget() -> None:
            if generation.done:
                with self._lock:
                    self._running.discard(generation)

        generation.on_change(forget)

    def cancel_all(self, client: str = "") -> None:
        """Cancel all, or those of one client. Each ends with the text that had arrived."""
        with self._lock:
            running = [generation for generation in self._running if client in ("", generation.client)]
        for generation in running:
            generation.cancel()
