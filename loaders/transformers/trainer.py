"""Trains LoRA adapters with PEFT, and merges them into the model's weights."""

from __future__ import annotations

import os
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from modules.families.training_data import read_examples
from modules.families.training_settings import TrainingSettings
from modules.protocol.commands import Merge, Train
from modules.protocol.errors import ModelError
from modules.worker.engine import Report
from modules.worker.hf.error_messages import load_error, out_of_memory_error
from modules.worker.hf.folder_tokenizer import FolderTokenizer
from modules.worker.hf.model_files import check_folder, has_consent
from modules.worker.hf.peft_adapters import LoraLayers
from modules.worker.hf.quantized_folder import copy_companions
from modules.worker.hf.staged_folder import stage_for_transformers
from modules.worker.hf.training.base_model import add_adapter, load_base, load_model
from modules.worker.hf.training.chat_format import ChatFormat
from modules.worker.hf.training.progress import TrainingProgress
from modules.worker.hf.training.sample import Sampler
from modules.worker.hf.training.tokenized import ExampleTokenizer, Row
from modules.worker.hf.training.trainer import save_adapter, train
from modules.worker.template_process import TemplateProcess
from modules.worker.trainer import Merged, Trained, TrainerBase

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PACKAGES = ("peft", "transformers", "torch")
# Settings whose lowering helps when memory runs out.
_LOWER = ("batch_size", "cutoff", "rank")
# How the work is divided: reading and loading, training, saving.
_LOADED, _TRAINED = 0.1, 0.98


class Trainer(TrainerBase):
    """Trains on a base in 4, 8 or 16 bits."""

    def train(self, request: Train, settings: TrainingSettings, report: Report) -> Trained:
        source, target = Path(request.source), Path(request.target)
        _prepare()
        check_folder(source)
        templates = TemplateProcess()
        with stage_for_transformers(source, _trusted()) as folder, closing(templates):
            model, chats, rows, notes = self._load(folder, request, settings, templates, report)
            report_step = _part(report, _LOADED, _TRAINED)
            sampler = Sampler(model, chats, settings, request.checkpoints, report_step)
            progress = TrainingProgress(report_step, sampler.epoch_ended)
            with out_of_memory_error("this training", _LOWER, TrainingSettings):
                checkpoints = Path(request.checkpoints)
                trained = train(model, rows, settings, checkpoints, chats.padding, progress, request.resume)
            report("Saving the adapter", _TRAINED)
            save_adapter(model, target, request.base)
        return Trained(
            trained.steps,
            trained.losses,
            trained.validation,
            sampler.samples(),
            _versions(*(["bitsandbytes"] if settings.base != "16bit" or "8bit" in settings.optimizer else [])),
            [*notes, *trained.notes],
        )

    def _load(
        self, folder: Path, request: Train, settings: TrainingSettings, templates: TemplateProcess, report: Report
    ) -> tuple[PreTrainedModel, ChatFormat, list[Row], list[str]]:
        """Return the model with an untrained adapter, how it writes chats, the rows to train on, and notes on them."""
        with load_error(Path(request.source)):
            chats = ChatFormat(FolderTokenizer(folder, templates), templates)
            rows, notes = _rows(Path(request.data), chats, settings, report)
            with out_of_memory_error("this training", _LOWER, TrainingSettings):
                model = load_base(folder, settings, _trusted(), _part(report, 0, _LOADED))
                return add_adapter(model, settings), chats, rows, notes

    def merge(self, request: Merge, report: Report) -> Merged:
        source, target = Path(request.source), Path(request.target)
        _prepare()
        check_folder(source)
        staged = stage_for_transformers(source, _trusted())
        with staged as folder, out_of_memory_error("this model", (), TrainingSettings), load_error(source):
            options: dict[str, object] = {"dtype": "auto", "device_map": {"": "cpu"}}
            model = load_model(folder, options, _trusted(), _part(report, 0, 0.5), "Loading the weights")
            report("Adding the adapter to the weights", 0.5)
            LoraLayers(model).merge(Path(request.adapter))
            report("Saving the merged weights", 0.7)
            model.save_pretrained(str(target))
        copy_companions(source, target)
        return Merged(_versions())


def _prepare() -> None:
    """Keep Transformers off the network, and limit torch to one core less than there are, so that a chat keeps
    answering."""
    # Before Transformers is first imported, which reads it then. No other host is asked.
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch

    torch.set_num_threads(min(torch.get_num_threads(), max(1, (os.cpu_count() or 1) - 1)))


def _trusted() -> bool:
    """Return True if the model's own code may run."""
    return has_consent("PADDOCK_TRUST_REMOTE_CODE")


def _rows(data: Path, chats: ChatFormat, settings: TrainingSettings, report: Report) -> tuple[list[Row], list[str]]:
    """Return the rows to train on, and notes on the examples that gave none. Raises ModelError if none is left."""
    tokenizer = ExampleTokenizer(chats, settings.cutoff, settings.replies_only)
    examples = read_examples(data)
    rows: list[Row] = []
    for number, example in enumerate(examples, 1):
        rows += tokenizer.rows(example)
        if number % 100 == 0:
            report(f"Reading example {number} of {len(examples)}", 0.0)
    if not rows:
        raise ModelError(f"No example can be trained on. {' '.join(tokenizer.notes())} Raise Cutoff length (cutoff).")
    return rows, tokenizer.notes()


def _part(report: Report, begin: float, end: float) -> Report:
    """Return a report whose fractions count from `begin` to `end` of the work."""
    return lambda text, fraction: report(text, None if fraction is None else begin + fraction * (end - begin))


def _versions(*more: str) -> dict[str, str]:
    return {name: version(name) for name in (*_PACKAGES, *more)}
