"""Projectors: files beside a GGUF model that make tokens of images or sound (llama.cpp's mmproj). Standard library
only."""

from __future__ import annotations

import math
from collections.abc import Sequence

from modules.families.audio_file import TOKENS_PER_SECOND
from modules.protocol.errors import ModelError, SettingError
from modules.protocol.model_facts import Projector

AUTOMATIC, NONE = "auto", "none"


def choose_projector(setting: str, projectors: Sequence[Projector]) -> Projector | None:
    """Return the projector that a setting names: "auto" for the first that fits, "none", or a file's name.

    `projectors`: those beside the model, the best first. Raises SettingError for a name that is not there, and
    ModelError for a file that does not fit the model.
    """
    wanted = setting.strip()
    if wanted.lower() == NONE:
        return None
    if wanted.lower() in ("", AUTOMATIC):
        return next((found for found in projectors if not found.problem), None)
    found = next((found for found in projectors if found.name == wanted), None)
    if found is None:
        there = ", ".join(found.name for found in projectors[:10])
        raise SettingError(
            f"There is no projector {wanted[:200]!r} beside this model. "
            + (f"Set Projector (projector) to one of: {there}." if there else "Put it into the model's folder.")
        )
    if found.problem:
        raise ModelError(found.problem)
    return found


def image_tokens(values: dict[str, object], width: int, height: int, most: int = 0) -> int:
    """Return about how many tokens llama.cpp makes of an image, from a projector's metadata (tools/mtmd/clip.cpp).

    `width`, `height`: in pixels; `most`: a limit that was set, 0 for the model's own.
    """

    def number(name: str, default: int) -> int:
        value = values.get(f"clip.vision.{name}")
        return value if isinstance(value, int) and value > 0 else default

    kind = str(values.get("clip.vision.projector_type") or values.get("clip.projector_type") or "")
    size, patch = number("image_size", 336), number("patch_size", 14)
    squares = max(1, size // patch) ** 2
    if kind.startswith(_ANY_SIZE):
        cell = patch * number("spatial_merge_size", 2 if kind.startswith("qwen") else 1)
        own = max(1, -(-width // cell)) * max(1, -(-height // cell))
        return min(own, most or _MOST_TOKENS)
    merged = number("projector.scale_factor", 0) ** 2 or _MERGED.get(kind, 1)
    return min(max(1, squares // merged), most or squares)


def audio_tokens(values: dict[str, object], seconds: float) -> int:
    """Return about how many tokens llama.cpp makes of a sound, from a projector's metadata (tools/mtmd/clip.cpp).

    Encoders of Whisper read 30 seconds at once, as 1500 frames; shorter ones are filled up. For others, the usual
    number of a second is taken.
    """
    kind = str(values.get("clip.audio.projector_type") or values.get("clip.projector_type") or "")
    if kind not in _WHISPERS:
        return int(seconds * TOKENS_PER_SECOND) + 1
    stacked = values.get("clip.audio.projector.stack_factor")
    frames = stacked if isinstance(stacked, int) and stacked > 0 else 1
    # Qwen2-Audio takes the mean of each two frames.
    frames *= 2 if kind == "qwen2a" else 1
    return max(1, math.ceil(seconds / 30)) * -(-1500 // frames)


# Projectors behind an encoder of Whisper.
_WHISPERS = ("ultravox", "qwen2a", "voxtral", "glma")
# Projectors for images of any size, which take a token for each cell of pixels.
_ANY_SIZE = ("qwen", "pixtral", "lightonocr", "glm4v", "kimivl", "youtuvl", "paddleocr", "lfm2")
_MOST_TOKENS = 4096
# Patches that become one token.
_MERGED = {"ldp": 4, "ldpv2": 4, "gemma3": 16, "internvl": 4, "llama4": 4, "idefics3": 9}
