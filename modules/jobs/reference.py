"""What an evaluation keeps of the original, to compare other models with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.jobs.checks import Answer
from modules.jobs.windows import Window


@dataclass
class Reference:
    """What the original said: its tokens of the text, its logits of each window in files, and its answers.

    speed: what measure_speed found of it; {} where that was not measured.
    """

    model: str = ""
    tokens: list[int] = field(default_factory=list)
    bos: int | None = None
    windows: list[Window] = field(default_factory=list)
    logits: list[Path] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    size_bytes: int = 0
    speed: dict[str, Any] = field(default_factory=dict)
