"""Reads a WAV file and writes it as every engine takes it: one channel of 16 bits at 16 kHz.

Runs in a separate process. Speech encoders read 16,000 samples a second. An MP3 file is not decoded: only its frames
are copied.
"""

from __future__ import annotations

import os
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.families.audio_file import FLOAT, MP3, AudioFile, AudioFileError, read_audio
from modules.system.json_process import serve_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000
# Limit of the process's address space in bytes.
_MAX_MEMORY = 2 << 30
# Crossings of zero of the resampling filter on each side, and how many samples are made at once.
_CROSSINGS, _AT_ONCE = 16, 16_384


def serve() -> None:
    """Run the process's loop."""
    serve_json(lambda request: read(Path(request["path"]), Path(request["target"])), _MAX_MEMORY)


def read(path: Path, target: Path) -> dict[str, Any]:
    """Write the sound at `path` to `target`. Return {}, or {error}: how a sentence that begins with its name ends."""
    part = target.with_suffix(f".{os.getpid()}.part")
    try:
        data = path.read_bytes()
        found = read_audio(data)
        if found.format == MP3:
            part.write_bytes(data[found.first : found.end])
        else:
            _write_wav(part, _resampled(_samples(data, found), found.sample_rate))
    except AudioFileError as error:
        return {"error": error.reason}
    except MemoryError:
        return {"error": "needs too much memory to be read. Send a shorter one."}
    part.replace(target)
    return {}


def _samples(data: bytes, found: AudioFile) -> NDArray[np.float32]:
    """Return the samples from -1 to 1 as one channel, the mean of all. [samples]"""
    import numpy as np

    values: Any
    raw = np.frombuffer(data, np.uint8, found.end - found.first, found.first)
    if found.coding == FLOAT:
        values = np.nan_to_num(raw.view(f"<f{found.width}").astype(np.float32))
    elif found.width == 1:
        values = (raw.astype(np.float32) - 128) / 128
    else:
        # Numbers of any width are the upper bytes of one with 32 bits.
        whole = np.zeros((len(raw) // found.width, 4), np.uint8)
        whole[:, 4 - found.width :] = raw.reshape(-1, found.width)
        values = whole.reshape(-1).view("<i4").astype(np.float32) / 2**31
    mean: NDArray[np.float32] = values.reshape(-1, found.channels).mean(axis=1)
    return mean


def _resampled(samples: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return the samples at SAMPLE_RATE, filtered so that no higher tone becomes a lower one. [samples]

    Each is the sum of those around its place, weighted by a sinc under a Hann window.
    """
    import numpy as np

    if rate == SAMPLE_RATE:
        return samples
    step, share = rate / SAMPLE_RATE, min(1.0, SAMPLE_RATE / rate)
    reach = int(np.ceil(_CROSSINGS / share))
    padded = np.pad(samples, reach + 1)
    around = np.arange(-reach, reach + 1)
    count = max(1, int(len(samples) / step))
    made = np.empty(count, np.float32)
    for first in range(0, count, _AT_ONCE):
        places = np.arange(first, min(first + _AT_ONCE, count)) * step
        nearest = places.astype(np.int64)
        away = (around[None, :] - (places - nearest)[:, None]).astype(np.float32)
        window = np.cos(np.pi / 2 * np.clip(away / (reach + 1), -1, 1)) ** 2
        weights = share * np.sinc(share * away) * window
        made[first : first + len(places)] = (padded[nearest[:, None] + around + reach + 1] * weights).sum(axis=1)
    return made


def _write_wav(path: Path, samples: NDArray[np.float32]) -> None:
    import numpy as np

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
