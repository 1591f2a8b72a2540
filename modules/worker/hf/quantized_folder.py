"""What all quantizers of Transformers folders share: calibration tokens, and the files beside the weights."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.families.calibration import CalibrationSettings
from modules.protocol.errors import PaddockError
from modules.worker.chat_template import CHATML
from modules.worker.hf.model_files import chat_template
from modules.worker.template_process import TemplateProcess

# Beside the weights; config.json and generation_config.json are the engine's to write.
_COMPANIONS = (
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "spiece.model", "chat_template.jinja", "chat_template.json"),
    *("generation_config.json", "LICENSE", "LICENSE.txt", "NOTICE"),
)
# Calibration of so few tokens would fit the weights to them alone.
_FEWEST_TOKENS = 512


def copy_companions(source: Path, target: Path) -> None:
    """Copy tokenizer, template, generation config and licence, so that the new folder is whole."""
    for name in _COMPANIONS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    extra = source / "additional_chat_templates"
    if extra.is_dir():
        shutil.copytree(extra, target / extra.name)


def calibration_tokens(
    rows: Sequence[Mapping[str, Any]], folder: Path, tokenizer: Any, settings: CalibrationSettings
) -> list[list[int]]:
    """Return token ids of the rows, each at most `settings.length` long, `settings.samples` of them at most.

    Conversations are written with the model's own chat template. Raises PaddockError for text that is too short.
    """
    random.Random(settings.seed).shuffle(chosen := list(rows))
    found: list[list[int]] = []
    total = 0
    templates = TemplateProcess()
    try:
        for text in _texts(chosen, folder, tokenizer, templates):
            tokens = list(tokenizer.encode(text, add_special_tokens="<|" not in text[:2]))
            total += len(tokens)
            for begin in range(0, len(tokens), settings.length):
                if len(piece := tokens[begin : begin + settings.length]) >= min(16, settings.length):
                    found.append([int(token) for token in piece])
            if len(found) >= settings.samples:
                break
    finally:
        templates.close()
    used = sum(map(len, found[: settings.samples]))
    if used < _FEWEST_TOKENS <= total:
        raise PaddockError(
            f"{settings.samples} samples of the calibration text have {used} tokens, and {_FEWEST_TOKENS} are the "
            "fewest that are of use. Raise Samples (samples) or Length of a sample (length)."
        )
    if used < _FEWEST_TOKENS:
        raise PaddockError(
            f"The calibration text has {total} tokens, and {_FEWEST_TOKENS} are the fewest that are of use. Choose a "
            "longer text, or leave --calibration out: a mixed sample ships."
        )
    return found[: settings.samples]


def _texts(
    rows: Iterable[Mapping[str, Any]], folder: Path, tokenizer: Any, templates: TemplateProcess
) -> Iterator[str]:
    template = chat_template(folder, tokenizer)[0] or CHATML
    for row in rows:
        if "text" in row:
            yield str(row["text"])
            continue
        yield templates.render(
            template,
            list(row["messages"]),
            continue_last=False,
            bos=str(tokenizer.bos_token or ""),
            eos=str(tokenizer.eos_token or ""),
            variables={"add_generation_prompt": False},
        )


def few_samples_note(found: Sequence[Sequence[int]], settings: CalibrationSettings) -> list[str]:
    """Return a note where the text had fewer samples than asked for."""
    if len(found) >= settings.samples:
        return []
    total = sum(map(len, found))
    return [f"The calibration text gave {len(found)} samples ({total} tokens), fewer than the {settings.samples} set."]


def progress_instead_of_tqdm(words: str, report: Callable[[str, float | None], None]) -> Callable[..., Iterator[Any]]:
    """Return a stand-in for tqdm that reports instead of drawing."""

    def bar(items: Any = (), *_: Any, **__: Any) -> Iterator[Any]:
        total = len(items)
        for number, item in enumerate(items):
            report(f"{words} {number + 1} of {total}", number / total)
            yield item

    return bar
