"""Find graphics cards that only Vulkan drives, such as Intel's, or AMD's without ROCm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from modules.library import vulkan_query
from modules.protocol.model_facts import Gpu
from modules.system.child_environment import worker_environment

# llama.cpp's own variable. It uses processors (lavapipe) and integrated graphics if they are named there.
VISIBLE = "GGML_VK_VISIBLE_DEVICES"
_SECONDS = 20.0
_DRM = Path("/sys/class/drm")


def has_vulkan() -> bool:
    """Return True if the Vulkan loader is installed."""
    return vulkan_query.vulkan_library() is not None


def find_vulkan_cards() -> list[Gpu]:
    """Return Vulkan's cards: those that GGML_VK_VISIBLE_DEVICES names by number, else those with separate memory.

    Asks the drivers in a separate process, only if the system shows a card. A driver that breaks or hangs finds none.
    """
    wanted = os.environ.get(VISIBLE)
    if wanted is None and not _has_card():
        return []
    try:
        answer = subprocess.run(
            [sys.executable, "-I", vulkan_query.__file__],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
            env=worker_environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return parse_vulkan(answer.stdout, wanted) if answer.returncode == 0 else []


def parse_vulkan(answer: str, wanted: str | None = None) -> list[Gpu]:
    """Return the cards in the answer of vulkan_query.py. `wanted`: numbers, such as "0,0", which makes two of one."""
    try:
        devices = [(one["type"], Gpu("vulkan", one["name"], one["total"], one["free"])) for one in json.loads(answer)]
    except (ValueError, TypeError, KeyError):
        return []
    if wanted is None:
        return [card for kind, card in devices if kind == "discrete"]
    numbers = [int(text) for text in wanted.split(",") if text.strip().isdecimal()]
    return [devices[number][1] for number in numbers if number < len(devices)]


def _has_card() -> bool:
    """Return True if there may be a card. Only Linux says so without its driver."""
    return not sys.platform.startswith("linux") or any(_DRM.glob("card*/device/vendor"))
