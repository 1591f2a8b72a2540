"""Cuts calibration text into samples of tokens, for every method that looks at what flows through a model."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from modules.families.calibration import FEWEST_TOKENS, CalibrationSettings
from modules.protocol.errors import PaddockError
from modules.worker.template_process import TemplateProcess

_SHORTEST_SAMPLE = 16


def cut_samples(
    rows: Sequence[Mapping[str, object]],
    settings: CalibrationSettings,
    template: str,
    bos: str,
    eos: str,
    encode: Callable[[str], Iterable[int]],
) -> list[list[int]]:
    """Return token ids of the rows, each at most `settings.length` long, `settings.samples` of them at most.

    Conversations are written with the chat template `template`; `bos`, `eos`: the names of these tokens. Raises
    PaddockError for text that is too short.
    """
    random.Random(settings.seed).shuffle(chosen := list(rows))
    found: list[list[int]] = []
    total = 0
    templates = TemplateProcess()
    try:
        for text in _texts(chosen, template, bos, eos, templates):
            tokens = list(encode(text))
            total += len(tokens)
            for begin in range(0, len(tokens), settings.length):
                if len(piece := tokens[begin : begin + settings.length]) >= min(_SHORTEST_SAMPLE, settings.length):
                    found.append([int(token) for token in piece])
            if len(found) >= settings.samples:
                break
    finally:
        templates.close()
    used = sum(map(len, found[: settings.samples]))
    # Of a text with more samples than wanted, only the first ones were read.
    if used < FEWEST_TOKENS and (total >= FEWEST_TOKENS or len(found) >= settings.samples):
        raise PaddockError(
            f"{settings.samples} samples of the calibration text have {used} tokens, and {FEWEST_TOKENS} are the "
            "fewest that are of use. Raise Samples (samples) or Length of a sample (length)."
        )
    if used < FEWEST_TOKENS:
        raise PaddockError(
            f"The calibration text has {total} tokens, and {FEWEST_TOKENS} are the fewest that are of use. Choose a "
            "longer text, or leave --calibration out: a mixed sample ships."
        )
    return found[: settings.samples]


def _texts(
    rows: Iterable[Mapping[str, Any]], template: str, bos: str, eos: str, templates: TemplateProcess
) -> Iterator[str]:
    for row in rows:
        if "text" in row:
            yield str(row["text"])
            continue
        variables = {"add_generation_prompt": False}
        yield templates.render(
            template, list(row["messages"]), continue_last=False, bos=bos, eos=eos, variables=variables
        )


def few_samples_note(found: Sequence[Sequence[int]], settings: CalibrationSettings) -> list[str]:
    """Return a note where the text had fewer samples than asked for."""
    if len(found) >= settings.samples:
        return []
    total = sum(map(len, found))
    return [f"The calibration text gave {len(found)} samples ({total} tokens), fewer than the {settings.samples} set."]
