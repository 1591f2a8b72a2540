"""What a job is asked to do, and how far it is: the two records that the store keeps."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from modules.protocol.errors import PaddockError

KINDS = ("quantize", "evaluate", "compare", "train", "merge")
WAITING, RUNNING = "waiting", "running"
FINISHED, FAILED, CANCELLED = "finished", "failed", "cancelled"

T = TypeVar("T")


class JobError(PaddockError):
    """A job that cannot begin or go on."""

    code = "job"


@dataclass(frozen=True)
class JobSpec:
    """What to do. It is stored as it is, so that the job can be repeated.

    kind: one of KINDS. model: a name in models/; for compare, the original. method: of quantize. name: of the result;
    "" takes the default name. loader: whose environment is used; "" takes the best. settings: KEY=VALUE pairs of
    `--set`. text: where text for calibration, evaluation or training comes from, as texts.TextSources says; "" takes
    the sample that ships, except for train. against: the original that evaluate compares with. models: those that
    compare measures, the original first. tasks: a path to questions for evaluate and compare; "" asks none. adapter:
    the name of the adapter to merge. to: what merge makes, "folder", "gguf" or "adapter-gguf".
    """

    kind: str
    model: str
    method: str = ""
    name: str = ""
    loader: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    text: str = ""
    against: str = ""
    models: list[str] = field(default_factory=list)
    tasks: str = ""
    adapter: str = ""
    to: str = "folder"

    def title(self) -> str:
        """Return what the job does, as the start of a sentence, such as "Quantizing demo with gguf"."""
        if self.kind == "quantize":
            return f"Quantizing {self.model} with {self.method}"
        if self.kind == "evaluate":
            return f"Evaluating {self.model}"
        if self.kind == "train":
            return f"Training an adapter for {self.model}"
        if self.kind == "merge":
            return (
                f"Merging {self.adapter} into {self.model}"
                if self.to != "adapter-gguf"
                else f"Converting {self.adapter}"
            )
        return f"Comparing {', '.join(self.models)}"


@dataclass(frozen=True)
class JobState:
    """How far a job is. `status`: waiting, running, finished, failed or cancelled; times in seconds since 1970.

    fraction: of the whole job, from 0 to 1; None where it is not known. message: the error's sentence; detail: its
    details.
    """

    status: str = RUNNING
    step: str = ""
    fraction: float | None = None
    seconds_left: float | None = None
    started: float = 0.0
    ended: float = 0.0
    message: str = ""
    detail: str = ""


def restore(kind: type[T], values: Mapping[str, object]) -> T:
    """Return an instance of a record from what was stored; names that this version does not know are passed over."""
    known = {entry.name for entry in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in values.items() if name in known})
