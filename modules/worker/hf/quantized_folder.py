"""What all quantizers of Transformers folders share: calibration tokens, and the files beside the weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.families.calibration import CalibrationSettings
from modules.worker.calibration_samples import cut_samples
from modules.worker.chat_template import CHATML
from modules.worker.hf.model_files import chat_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Beside the weights; config.json and generation_config.json are the engine's to write.
_COMPANIONS = (
    *("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "merges.txt", "vocab.txt", "spiece.model", "chat_template.jinja", "chat_template.json"),
    *("generation_config.json", "LICENSE", "LICENSE.txt", "NOTICE"),
)


def copy_companions(source: Path, target: Path) -> None:
    """Copy tokenizer, template, generation config and licence, so that the new folder is whole."""
    for name in _COMPANIONS:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)
    extra = source / "additional_chat_templates"
    if extra.is_dir():
        shutil.copytree(extra, target / extra.name)


def calibration_tokens(
    rows: Sequence[Mapping[str, object]],
    folder: Path,
    tokenizer: PreTrainedTokenizerBase,
    settings: CalibrationSettings,
) -> list[list[int]]:
    """Return token ids of the rows, each at most `settings.length` long, `settings.samples` of them at most.

    Conversations are written with the model's own chat template. Raises PaddockError for text that is too short.
    """
    return cut_samples(
        rows,
        settings,
        chat_template(folder, tokenizer)[0] or CHATML,
        str(tokenizer.bos_token or ""),
        str(tokenizer.eos_token or ""),
        lambda text: tokenizer.encode(text, add_special_tokens="<|" not in text[:2]),
    )


def progress_instead_of_tqdm(
    words: str, report: Callable[[str, float | None], None]
) -> Callable[..., Iterator[object]]:
    """Return a stand-in for tqdm that reports instead of drawing."""

    def bar(items: Any = (), *_: object, **__: object) -> Iterator[object]:
        total = len(items)
        for number, item in enumerate(items):
            report(f"{words} {number + 1} of {total}", number / total)
            yield item

    return bar
