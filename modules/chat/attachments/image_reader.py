"""Reads an image and writes it as every engine takes it, in the process of `model_images`.

Images are untrusted: this process has limited memory and is killed when it takes too long.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from modules.chat.attachments.image_formats import FORMATS, MOST_PIXELS
from modules.system.json_process import serve_json

# Limit of the process's address space in bytes.
_MAX_MEMORY = 1 << 30
# Models see less than this. Larger images are reduced to it.
SHOWN_PIXELS = 4_194_304


def serve() -> None:
    """Run the process's loop."""
    # The limit here is our own, with a sentence.
    Image.MAX_IMAGE_PIXELS = None
    serve_json(lambda request: read(Path(request["path"]), Path(request["target"])), _MAX_MEMORY)


def read(path: Path, target: Path) -> dict[str, Any]:
    """Write the image at `path` as a PNG to `target`: upright, RGB, at most SHOWN_PIXELS. Return {width, height}, or
    {error}: why it cannot be read, with a next step, without the image's name."""
    try:
        with Image.open(path, formats=list(FORMATS)) as image:
            width, height = image.size
            if width * height > MOST_PIXELS:
                return {
                    "error": f"has {width:,} × {height:,} pixels, and at most {MOST_PIXELS // 1_000_000} million are "
                    "read. Make it smaller."
                }
            image.draft("RGB", _reduced(width, height))  # a JPEG is decoded in a smaller size
            whole = _flat(ImageOps.exif_transpose(image))
    except UnidentifiedImageError:
        return {"error": "is no image that can be read here. Send it as PNG, JPEG, WebP or GIF."}
    except MemoryError:
        return {"error": "needs too much memory to be read. Make it smaller."}
    except Exception as error:  # Pillow raises whatever a damaged file leads it to
        reason = f"{type(error).__name__}: {error}"[:300]
        return {"error": f"is damaged ({reason}). Save it again in the program that made it."}
    if whole.width * whole.height > SHOWN_PIXELS:
        whole = whole.resize(_reduced(*whole.size), Image.Resampling.LANCZOS)
    part = target.with_suffix(f".{os.getpid()}.part")
    whole.save(part, "PNG", compress_level=1)
    part.replace(target)
    return {"width": whole.width, "height": whole.height}


def _reduced(width: int, height: int) -> tuple[int, int]:
    """Return the size of an image reduced to SHOWN_PIXELS; its own if it has no more."""
    share = min(1.0, (SHOWN_PIXELS / (width * height)) ** 0.5)
    return max(1, int(width * share)), max(1, int(height * share))


def _flat(image: Image.Image) -> Image.Image:
    """Return the first frame in RGB, on white where it is transparent."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        seen = image.convert("RGBA")
        white = Image.new("RGBA", seen.size, "white")
        white.alpha_composite(seen)
        return white.convert("RGB")
    return image.convert("RGB")
