"""Images and sounds as models get them: one folder of files that workers may read, named by the hash of what was sent.

Every image becomes a PNG file, and every WAV file one of one channel at 16 kHz. They are decoded and written again
here, in a process of limited memory, so engines read only what Paddock wrote, and the formats that engines lack do not
matter. MP3 files are the exception: only their frames are copied. Files that no request used for a day are removed, and
at the end those that this process wrote: what belongs to a chat is in its attachments.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

from modules.chat.attachments.audio_facts import read_audio_facts
from modules.chat.attachments.reader_process import ask_reader
from modules.protocol.errors import PaddockError, PromptError

# Limits of one image file in bytes, of all that are kept, and of the seconds that reading one may take.
MOST_BYTES = 50_000_000
_MOST_KEPT = 500_000_000
_KEPT_SECONDS = 86_400.0
SECONDS = 60.0


class ImageError(PromptError):
    """An image that cannot be shown to a model."""

    code = "image"


class AudioError(PromptError):
    """A sound that no model can be sent."""

    code = "audio"


class _Reader(NamedTuple):
    """Writes files of one kind: `module`, with the next step for a file that takes too long, and the error."""

    module: str
    advice: str
    error: type[PaddockError]


_IMAGE = _Reader("modules.chat.attachments.image_reader", "Make it smaller.", ImageError)
_AUDIO = _Reader("modules.chat.attachments.audio_reader", "Send a shorter one.", AudioError)


class ModelImages:
    """The images and sounds in `folder`. Thread-safe; its methods block while one is read."""

    def __init__(self, folder: Path, seconds: float = SECONDS) -> None:
        self._folder, self._seconds = folder, seconds
        self._lock = threading.Lock()
        self._written: set[Path] = set()

    def close(self) -> None:
        """Remove the files that this process wrote."""
        with self._lock:
            for path in self._written:
                with contextlib.suppress(OSError):
                    path.unlink()

    def add_file(self, path: Path, name: str = "", audio: bool = False) -> str:
        """Return the path of the image or sound at `path`, as models get it. `name`: what to call it.

        Raises ImageError, or AudioError for a sound.
        """
        name = name or path.name
        try:
            size = path.stat().st_size
            if size <= MOST_BYTES:
                return (self.add_audio if audio else self.add)(path.read_bytes(), name)
        except OSError as error:
            sentence = f"{name} cannot be read ({error.strerror}). Attach it again."
            raise (AudioError if audio else ImageError)(sentence) from None
        raise _too_large(name)

    def add(self, data: bytes, name: str = "The image") -> str:
        """Return the path of an image in memory, as models get it. Raises ImageError."""
        if len(data) > MOST_BYTES:
            raise _too_large(name)
        return self._add(data, ".png", name, _IMAGE)

    def add_audio(self, data: bytes, name: str = "The sound") -> str:
        """Return the path of a sound in memory, as models get it: a WAV or MP3 file. Raises AudioError."""
        ending = f".{read_audio_facts(data, name, AudioError).format}"
        return self._add(data, ending, name, _AUDIO)

    def _add(self, data: bytes, ending: str, name: str, reader: _Reader) -> str:
        target = self._folder / f"{hashlib.sha256(data).hexdigest()}{ending}"
        with self._lock:  # one at a time, because each may take much memory
            if target.is_file():
                os.utime(target)
                return str(target)
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="paddock-") as place:
                source = Path(place, "sent")
                source.write_bytes(data)
                self._write(source, target, name, reader)
            self._written.add(target)
            self._remove_oldest(target)
        return str(target)

    def _write(self, source: Path, target: Path, name: str, reader: _Reader) -> None:
        request: dict[str, object] = {"path": str(source), "target": str(target)}
        answer = ask_reader(reader.module, request, self._seconds, name, reader.advice, reader.error)
        if problem := answer.get("error"):
            raise reader.error(f"{name} {problem}")

    def _remove_oldest(self, kept: Path) -> None:
        """Remove files that were not used for long, and of the others the oldest, until the rest is small enough."""
        with contextlib.suppress(OSError):
            files = [(path.stat(), path) for path in self._folder.iterdir() if path != kept]
            room, oldest = _MOST_KEPT - kept.stat().st_size, time.time() - _KEPT_SECONDS
            for stat, path in sorted(files, key=lambda pair: -pair[0].st_mtime):
                room -= stat.st_size
                if room < 0 or stat.st_mtime < oldest:
                    path.unlink()
                    self._written.discard(path)


def _too_large(name: str) -> ImageError:
    return ImageError(f"{name} has more than {MOST_BYTES // 1_000_000} MB. Make it smaller.")
