"""The hooks of extensions that run inside the worker: which ones, and where their events go."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from modules.protocol.commands import Configure
from modules.protocol.events import HookEvent, HookFailed
from modules.runtime.worker_client import WorkerClient
from modules.system.threads import host_thread


class WorkerHooks:
    """The hooks that every worker gets. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: list[dict[str, object]] = []
        self._callback: Callable[[HookEvent], None] = lambda event: None

    def subscribe(self, callback: Callable[[HookEvent], None]) -> None:
        """Call `callback` when an extension's hook in the worker fails, prints, or writes a shared value.

        For a failure it is called on a separate thread and may send commands to the worker. For all other events it
        must return at once.
        """
        self._callback = callback

    def replace(self, entries: list[dict[str, Any]]) -> bool:
        """Replace the hooks (entries as in Configure). Return False if they are the same as before."""
        with self._lock:
            changed = entries != self._entries
            self._entries = entries
        return changed

    def send_to(self, client: WorkerClient) -> None:
        """Send the hooks to a worker whose loader can run them. Raise PaddockError."""
        if client.spec.logits_hooks:
            client.ask(Configure(client.next_id(), self._entries))

    @property
    def empty(self) -> bool:
        """True if no extension has hooks in the worker."""
        return not self._entries

    def handle(self, event: HookEvent) -> None:
        """Pass an event of the worker to the subscriber."""
        if isinstance(event, HookFailed):
            # The callback may send a command. The thread that reads the worker must not wait for the answer.
            host_thread("hook failed", lambda: self._callback(event), "Switching an extension off").start()
        else:
            self._callback(event)
