"""Which replica has read the beginning of a prompt, so that it is probably in its cache."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Generic, TypeVar

T = TypeVar("T")
# Older chats are seldom in a server's cache any more.
_MOST_PROMPTS = 1024


def prompt_key(prompt: str, messages: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the bytes that stand for a prompt. Those of a chat's later turns begin with those of an earlier one."""
    if not messages:
        return prompt.encode("utf-8", "replace")
    lines = (json.dumps([message.get("role"), message.get("content")]) for message in messages)
    return "".join(f"{line}\n" for line in lines).encode()


class PromptPrefixes(Generic[T]):
    """Remembers whole prompts by their hash, with who read them. Not thread-safe.

    A prompt continues a chat if a whole earlier prompt is its beginning. A system prompt that many chats share is no
    whole prompt, so it does not bind them to one replica.
    """

    def __init__(self, most: int = _MOST_PROMPTS) -> None:
        self._most = most
        # (length, hash of a prompt) -> who read it. The least recently used one is first.
        self._readers: OrderedDict[tuple[int, bytes], T] = OrderedDict()

    def find(self, key: bytes) -> T | None:
        """Return who read the longest earlier prompt that `key` begins with."""
        lengths = sorted({length for length, _ in self._readers if length <= len(key)})
        running, done, found = blake2b(digest_size=16), 0, None
        for length in lengths:
            running.update(key[done:length])
            done = length
            if (length, running.digest()) in self._readers:
                found = (length, running.digest())
        if found is None:
            return None
        self._readers.move_to_end(found)
        return self._readers[found]

    def record(self, key: bytes, reader: T) -> None:
        """Note that `reader` reads this prompt. Empty ones are ignored."""
        if not key:
            return
        place = (len(key), blake2b(key, digest_size=16).digest())
        self._readers[place] = reader
        self._readers.move_to_end(place)
        while len(self._readers) > self._most:
            self._readers.popitem(last=False)

    def forget(self, reader: T) -> None:
        """Drop what this one has read: it has lost its cache."""
        for place in [place for place, found in self._readers.items() if found is reader]:
            del self._readers[place]
