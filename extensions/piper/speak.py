"""A process that reads one text: JSON on stdin, a WAV file on stdout."""

from __future__ import annotations

import io
import json
import os
import sys
import wave


def main() -> None:
    """Answer on the real stdout. What Piper prints goes to stderr."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    order = json.load(sys.stdin.buffer)
    from piper import PiperVoice
    from piper.config import SynthesisConfig

    voice = PiperVoice.load(order["voice"])
    # Piper counts how long a sound takes, which is the opposite of speed.
    how = SynthesisConfig(length_scale=1 / order["speed"])
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(voice.config.sample_rate)
        for chunk in voice.synthesize(order["text"], syn_config=how):
            sound.writeframes(chunk.audio_int16_bytes)
    with answer:
        answer.write(file.getvalue())


if __name__ == "__main__":
    main()
