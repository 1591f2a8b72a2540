"""Images as models get them: one folder of PNG files that workers may read, named by the hash of what was sent.

Every image is decoded and written again here, in a process of limited memory, so engines read only what Paddock wrote,
and the formats that engines lack do not matter. Files that no request used for a day are removed, and at the end those
that this process wrote: what belongs to a chat is in its attachments.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from pathlib import Path

from modules.chat.attachments.reader_process import ask_reader
from modules.protocol.errors import PromptError

# Limits of one image file in bytes, of all that are kept, and of the seconds that reading one may take.
MOST_BYTES = 50_000_000
_MOST_KEPT = 500_000_000
_KEPT_SECONDS = 86_400.0
SECONDS = 60.0
_READER = "modules.chat.attachments.image_reader"


class ImageError(PromptError):
    """An image that cannot be shown to a model."""

    code = "image"


class ModelImages:
    """The images in `folder`. Thread-safe; its methods block while an image is read."""

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

    def add_file(self, path: Path, name: str = "") -> str:
        """Return the path of the image at `path`, as models get it. `name`: what to call it. Raises ImageError."""
        try:
            size = path.stat().st_size
            if size <= MOST_BYTES:
                return self.add(path.read_bytes(), name or path.name)
        except OSError as error:
            raise ImageError(f"{name or path.name} cannot be read ({error.strerror}). Attach it again.") from None
        raise _too_large(name or path.name)

    def add(self, data: bytes, name: str = "The image") -> str:
        """Return the path of an image in memory, as models get it. Raises ImageError."""
        if len(data) > MOST_BYTES:
            raise _too_large(name)
        target = self._folder / f"{hashlib.sha256(data).hexdigest()}.png"
        with self._lock:  # one at a time, because each may take much memory
            if target.is_file():
                os.utime(target)
                return str(target)
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="paddock-") as place:
                source = Path(place, "image")
                source.write_bytes(data)
                self._write(source, target, name)
            self._written.add(target)
            self._remove_oldest(target)
        return str(target)

    def _write(self, source: Path, target: Path, name: str) -> None:
        request: dict[str, object] = {"path": str(source), "target": str(target)}
        answer = ask_reader(_READER, request, self._seconds, name, "Make it smaller.", ImageError)
        if problem := answer.get("error"):
            raise ImageError(f"{name} {problem}")

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
