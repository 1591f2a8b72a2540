"""Images and sounds in prompts for llama.cpp's server: their bytes in requests, and how many tokens they take.

The server does not say how many tokens a file has before it has read it. Until then the number is an estimate.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

from modules.families.audio_file import is_audio, read_audio
from modules.families.projector import audio_tokens, image_tokens
from modules.protocol.errors import PromptError
from modules.worker.llama.gguf_keys import read_keys

_MOST_KNOWN = 1024


class Media:
    """The images and sounds of one model. `mark`: what stands for one in a prompt; `most`: the limit of an image's
    tokens, 0 without; `tokenize`: counts a text; `begin`: the name of the token that the server puts before a prompt,
    or "".
    """

    def __init__(self, projector: Path, mark: str, most: int, tokenize: Callable[[str], list[int]], begin: str) -> None:
        self.mark, self._most, self._tokenize, self._begin = mark, most, tokenize, begin
        self._values = read_keys(projector).values
        # Tokens of files that the server has read, by their hash.
        self._known: dict[bytes, int] = {}

    def prompt(self, text: str, paths: Sequence[str]) -> dict[str, object]:
        """Return the field `prompt` of a request. Raises PromptError."""
        return {
            "prompt_string": text.removeprefix(self._begin),
            "multimodal_data": [base64.b64encode(_read(path)).decode("ascii") for path in paths],
        }

    def count(self, text: str, paths: Sequence[str]) -> int:
        """Return the length of a prompt with images or sounds. Raises PromptError."""
        return self._texts(text) + sum(self._count(_read(path)) for path in paths)

    def learn(self, text: str, paths: Sequence[str], length: int) -> None:
        """Note the length of a prompt that the server has read, which says how many tokens a new file has."""
        digests = [_digest(_read(path)) for path in paths]
        new = {digest for digest in digests if digest not in self._known}
        if len(new) != 1:
            return
        (digest,) = new
        tokens = length - self._texts(text) - sum(self._known.get(one, 0) for one in digests)
        if tokens > 0:
            self._known[digest] = round(tokens / digests.count(digest))
            while len(self._known) > _MOST_KNOWN:
                self._known.pop(next(iter(self._known)))

    def _texts(self, text: str) -> int:
        return len(self._tokenize(text.replace(self.mark, "")))

    def _count(self, data: bytes) -> int:
        if (known := self._known.get(_digest(data))) is not None:
            return known
        if is_audio(data):
            return audio_tokens(self._values, read_audio(data).seconds)
        return image_tokens(self._values, *_size(data), self._most)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise PromptError(f"A file cannot be read ({error.strerror}). Attach it again.") from None


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _size(data: bytes) -> tuple[int, int]:
    """Return width and height of a PNG, as the host prepares images; (0, 0) of other files."""
    return struct.unpack(">II", data[16:24]) if data.startswith(b"\x89PNG") and len(data) >= 24 else (0, 0)
