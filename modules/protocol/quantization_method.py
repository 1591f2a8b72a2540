"""What a loader declares about one way to quantize models, with the standard library alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from modules.protocol.model_facts import ModelFacts
from modules.protocol.schema import describe


def _unknown(facts: ModelFacts, settings: object) -> int | None:
    return None


def _no_obstacle(facts: ModelFacts, settings: object) -> str:
    return ""


def _no_files(settings: object) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class QuantizationMethod:
    """One entry of LoaderSpec.quantizers. `loaders/<name>/quantizer.py` holds the class Quantizer that does the work.

    name: what `--method` takes, such as "gptq".
    title: the name that people know, such as "GPTQ".
    settings: a dataclass of `setting(...)` fields, handed to Quantizer.quantize.
    bits: bits of a weight that the result stores, from an instance of `settings`; scales included.
    label: what the result's name ends with, from an instance of `settings`, such as "Q4_K_M".
    sources: formats (ModelFacts.format) that it takes.
    calibrated: it needs calibration text; or the settings, name -> value, with which it does.
    requantize: the setting that lets it take a model that is quantized already; "" where it never does.
    single_file: the result is one file NAME.gguf; else a folder NAME. Or a function that says so for an instance of
    `settings`.
    reads: paths of files that an instance of `settings` names, which the worker may read.
    preference: of several loaders with the same method, the highest quantizes unless another is asked for.
    resumes: it keeps what it has done in Quantize.checkpoints, so a job that runs again continues there.
    measures: it keeps what it measured of a model in Quantize.measurements, for other jobs with the same model.
    held: bytes of weights and buffers that the quantizer holds at once, beside the worker's own; None: not known.
    keeps_layers: the layers that are done lie beside the result until its end, and take as much of the disk again.
    has_trial: Quantizer.trial says in seconds how long the work will take.
    obstacle: a sentence with the next step where this model cannot be quantized with these settings; "" where it can.
    """

    name: str
    title: str
    settings: type[Any]
    bits: Callable[[Any], float]
    label: Callable[[Any], str]
    sources: tuple[str, ...] = ("safetensors",)
    calibrated: bool | Mapping[str, str] = False
    requantize: str = ""
    single_file: bool | Callable[[Any], bool] = False
    reads: Callable[[Any], tuple[str, ...]] = _no_files
    preference: int = 0
    resumes: bool = False
    measures: bool = False
    held: Callable[[ModelFacts, Any], int | None] = _unknown
    keeps_layers: bool = False
    has_trial: bool = False
    obstacle: Callable[[ModelFacts, Any], str] = _no_obstacle

    def is_calibrated(self, settings: object) -> bool:
        """Return True if these settings need calibration text."""
        if isinstance(self.calibrated, bool):
            return self.calibrated
        return all(getattr(settings, name) == value for name, value in self.calibrated.items())

    def makes_file(self, settings: object) -> bool:
        """Return True if the result with these settings is one file."""
        return self.single_file(settings) if callable(self.single_file) else self.single_file


def divides(group_size: int, widths: Iterable[int]) -> bool:
    """Return True if `group_size` divides all of `widths`, or is not positive: a group is then a whole row."""
    return group_size <= 0 or all(width % group_size == 0 for width in widths)


def sees_images(facts: ModelFacts, title: str) -> str:
    """Return why a method that takes text models alone does not take this model."""
    return (
        f"{facts.name} also sees images, and {title} takes models of text alone here. Choose bnb or hqq, which leave "
        "the part for images as it is."
    )


def indivisible(facts: ModelFacts, settings: Any) -> str:
    """Return a sentence that names the inputs of matrices which the group size does not divide, and sizes that work.

    "" where it divides those of all matrices. `settings`: an instance of a method's settings, with `group_size`.
    """
    nouns = {facts.hidden: "hidden size", facts.intermediate: "intermediate size"}
    widths = facts.input_widths or tuple(width for width in nouns if width)
    size = settings.group_size
    if divides(size, widths):
        return ""
    (entry,) = (entry for entry in describe(type(settings)) if entry.name == "group_size")
    odd = [f"{nouns.get(width, 'width')} {width}" for width in widths if width % size]
    working = [str(choice) for choice in entry.info.choices if divides(choice, widths)]
    choice = f"Sizes that work: {', '.join(working)}." if working else "Choose another method, such as gguf."
    return (
        f"{entry.info.label} (group_size) {size} does not divide the {' and the '.join(odd)} of {facts.name}. {choice}"
    )
