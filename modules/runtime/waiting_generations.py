"""The generations that wait for a slot: clients take turns, and none waits behind all that another one asked for."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping

from modules.generation.generation import Generation
from modules.protocol.errors import PaddockError

# Generations of API clients that wait for one model at most, and those of one client.
MOST_WAITING = 256
MOST_OF_ONE = MOST_WAITING // 2
_LEAST_SECONDS, _MOST_SECONDS = 1, 60


class QueueFull(PaddockError):
    """Too many requests wait. `retry_after`: seconds after which there may be room."""

    code = "queue_full"

    def __init__(self, message: str, retry_after: int = _LEAST_SECONDS) -> None:
        super().__init__(message)
        self.retry_after = retry_after


def check_room(waiting: int, of_client: int, seconds: float = 0.0) -> None:
    """Raise QueueFull if one more may not wait beside `waiting`, of which `of_client` are the client's own. `seconds`:
    how long a generation takes."""
    if waiting < MOST_WAITING and of_client < MOST_OF_ONE:
        return
    after = min(_MOST_SECONDS, max(_LEAST_SECONDS, math.ceil(seconds)))
    who = f"{of_client} of your requests wait" if of_client >= MOST_OF_ONE else f"{waiting} requests wait"
    raise QueueFull(f"{who} for this model already. Send the request again in {after} s.", after)


class WaitingGenerations:
    """Generations by client, in the order in which the clients take turns. Not thread-safe."""

    def __init__(self) -> None:
        self._by_client: dict[str, deque[Generation]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._by_client.values()))

    def __iter__(self) -> Iterator[Generation]:
        for generations in self._by_client.values():
            yield from generations

    def count(self, client: str) -> int:
        """Return how many of this client wait."""
        return len(self._by_client.get(client, ()))

    def add(self, generation: Generation) -> None:
        """Let a generation wait behind those of its client."""
        self._by_client.setdefault(generation.client, deque()).append(generation)

    def take(self, running: Mapping[str, int]) -> Generation:
        """Remove and return the next one: of the client with the fewest that run, the oldest. Clients with equally many
        take turns. `running`: client -> number."""
        client = min(self._by_client, key=lambda name: running.get(name, 0))
        generations = self._by_client.pop(client)
        generation = generations.popleft()
        if generations:
            self._by_client[client] = generations
        return generation

    def remove(self, id: str) -> Generation | None:
        """Remove and return the one with this id; None if it does not wait."""
        found = next((generation for generation in self if generation.id == id), None)
        if found is not None:
            generations = self._by_client[found.client]
            generations.remove(found)
            if not generations:
                del self._by_client[found.client]
        return found

    def clear(self) -> None:
        """Remove all."""
        self._by_client.clear()
