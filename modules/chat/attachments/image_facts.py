"""What a picture is: read and decoded whole in a process of limited memory, because a picture is untrusted."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.chat.attachments.attachment_error import AttachmentError
from modules.chat.attachments.image_formats import FORMATS, MOST_PIXELS
from modules.chat.attachments.reader_process import ask_reader
from modules.system.json_process import serve_json

# MIME types of pictures that can be attached, with the ending of their files.
IMAGE_ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif"}
SECONDS = 30.0
# Limit of the process's address space in bytes: a picture of the most pixels takes 200 MB decoded.
_MAX_MEMORY = 1 << 30


@dataclass(frozen=True)
class ImageFacts:
    """A picture's MIME type, and its width and height in pixels."""

    mime: str
    width: int
    height: int


def read_image_facts(data: bytes, name: str) -> ImageFacts:
    """Return the facts of a picture; blocking. Raises AttachmentError for one that cannot be shown."""
    try:
        with tempfile.TemporaryDirectory(prefix="paddock-") as folder:
            path = Path(folder, "picture")
            path.write_bytes(data)
            answer = ask_reader(__name__, {"path": str(path)}, SECONDS, name, "Save it smaller.", AttachmentError)
    except OSError as error:
        raise AttachmentError(f"{name} could not be read: {error}. Try again.") from None
    if problem := answer.get("error"):
        raise AttachmentError(f"{name} {problem}")
    return ImageFacts(str(answer["mime"]), int(answer["width"]), int(answer["height"]))


def serve() -> None:
    """Run the process's loop."""
    serve_json(lambda request: _read(Path(request["path"])), _MAX_MEMORY)


def _read(path: Path) -> dict[str, Any]:
    """Return {mime, width, height} of a picture, or {error}: how a sentence that begins with its name ends."""
    from PIL import Image

    # Checked below, with a sentence.
    Image.MAX_IMAGE_PIXELS = None
    try:
        with Image.open(path, formats=list(FORMATS)) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                most = MOST_PIXELS // 1_000_000
                return {"error": f"has {width:,} × {height:,} pixels; {most} million are the most. Save it smaller."}
            image.load()
            return {"mime": FORMATS[str(image.format)], "width": width, "height": height}
    except MemoryError:
        return {"error": "needs too much memory to be read. Save it smaller."}
    except Exception as error:  # a damaged file leads decoders to any error
        reason = f"{type(error).__name__}: {error}".replace(str(path), "the file")[:200]
        return {"error": f"is damaged, or no picture ({reason}). Save it again as PNG or JPEG."}
