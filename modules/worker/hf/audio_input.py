"""From a prompt with sounds to what a Transformers model reads, as image_input.py does it for images."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modules.protocol.errors import PromptError
from modules.worker.hf.image_input import ImageInput, token_id

if TYPE_CHECKING:
    from transformers import ProcessorMixin

# Of the files that the host writes (modules/chat/attachments/audio_reader.py), and of the encoders that read them.
_SAMPLE_RATE = 16_000


class AudioInput(ImageInput):
    """The processor of one model that hears."""

    _what = "sounds"

    def _find_mark(self) -> str:
        mark = self._processor.audio_token
        return str(getattr(mark, "content", mark))

    def _find_token(self) -> int:
        found = token_id((self._model.config, self._processor), ("audio_token_id", "audio_token_index"))
        return self._named_token(self.mark) if found is None else found

    def _inputs(self, paths: Sequence[str]) -> dict[str, object]:
        return {"audio": [_read(path) for path in paths], "sampling_rate": _SAMPLE_RATE}

    def _process(self, text: str, paths: Sequence[str]) -> dict[str, Any]:
        values = super()._process(text, paths)
        most = getattr(self._processor.feature_extractor, "n_samples", 0)
        # One window for each sound: Whisper's extractor leaves out what is behind it, and says nothing.
        if most and len(values.get("input_features", ())) == len(paths) and max(map(_samples, paths)) > most:
            raise PromptError(
                f"This model hears {most / _SAMPLE_RATE:.0f} seconds of a sound, and one has more. Attach a "
                "shorter part of it."
            )
        return values


def hears(processor: ProcessorMixin) -> bool:
    """Return True for a processor that makes tokens of sound, in the sample rate of the files that it gets."""
    extractor = getattr(processor, "feature_extractor", None)
    return getattr(extractor, "sampling_rate", 0) == _SAMPLE_RATE and hasattr(processor, "audio_token")


def _samples(path: str) -> int:
    with wave.open(path, "rb") as file:
        return file.getnframes()


def _read(path: str) -> Any:
    """Return the samples of a WAV file, from -1 to 1. [samples]. Raises PromptError."""
    import numpy as np

    try:
        with wave.open(path, "rb") as file:
            raw = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise PromptError(f"A sound cannot be read ({reason}). Attach it again.") from None
    return np.frombuffer(raw, "<i2").astype(np.float32) / 32768
