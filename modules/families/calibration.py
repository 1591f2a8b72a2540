"""Settings of methods that look at what flows through a model while they quantize it. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.schema import setting

# Calibration of so few tokens would fit the weights to them alone.
FEWEST_TOKENS = 512


@dataclass(frozen=True)
class CalibrationSettings:
    """How much of the calibration text is used."""

    samples: int = setting(
        128,
        label="Samples",
        minimum=4,
        maximum=4096,
        group="Calibration",
        help="Pieces of calibration text. Fewer are used where the text has fewer. More take longer.",
    )
    length: int = setting(
        512,
        label="Length of a sample",
        minimum=32,
        maximum=16_384,
        unit="tokens",
        group="Calibration",
        help="Longer rows are cut. It is best near the length that the model is used with.",
    )
    seed: int = setting(
        0, label="Seed", minimum=0, maximum=2**31 - 1, group="Calibration", help="Chooses the rows of a long text."
    )
