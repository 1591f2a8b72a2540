"""An NVML that is made for tests: graphics cards that a text file describes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_SOURCE = Path(__file__).with_name("fake_nvml.c")
GIGABYTE = 1 << 30
# fake_nvml.c says what the fields are.
TWO_CARDS = f"""driver 570.86.10 12080
card GPU-aaaa NVIDIA_GeForce_RTX_4090 {24 * GIGABYTE} {16 * GIGABYTE} 8 9 83 1410 2520 {0x20}
card GPU-bbbb NVIDIA_T4 {16 * GIGABYTE} {15 * GIGABYTE} 7 5 -1 -1 -1 0
process 0 4242 {6 * GIGABYTE} /usr/bin/ollama
process 0 4343 {1 * GIGABYTE} /usr/lib/xorg/Xorg
process 1 4242 {GIGABYTE} /usr/bin/ollama
"""


def make_nvml(folder: Path) -> Path:
    """Compile the library into the folder, and return it. Skip the test without a compiler."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or not compiler:
        pytest.skip("an NVML for the test is compiled with cc, on Linux")
    target = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(target), str(_SOURCE)], check=True, timeout=60)
    return folder


def nvml_variables(library: Path, file: Path, cards: str) -> dict[str, str]:
    """Return the variables with which a process finds the library, and in it the cards, which are written to `file`."""
    file.write_text(cards)
    return {"LD_LIBRARY_PATH": str(library), "FAKE_NVML": str(file)}
