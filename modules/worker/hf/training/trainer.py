"""Train a LoRA adapter on a Transformers model with PEFT and Transformers' Trainer.

LoRA: Hu et al. 2021; QLoRA, an NF4 base: Dettmers et al. 2023; DoRA: Liu et al. 2024; rsLoRA: Kalajdzievski 2023.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modules.families.training_curve import losses
from modules.families.training_settings import OPTIMIZERS, TrainingSettings
from modules.protocol.errors import ModelError
from modules.worker.hf.training.progress import TrainingProgress
from modules.worker.hf.training.tokenized import Row, pad_rows
from modules.worker.trainer import Trained

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerCallback, TrainingArguments

# A validation split leaves at least so many examples to train on.
_LEAST_SPLIT = 2
# Steps between two checkpoints at most, so that a long epoch is not lost.
_MOST_STEPS = 200
# Checkpoints in a short training.
_MOST_SAVES = 20
_STATE = "trainer_state.json"


def train(
    model: object,
    rows: Sequence[Row],
    settings: TrainingSettings,
    folder: Path,
    padding: int,
    progress: TrainingProgress,
    resume: bool = False,
) -> Trained:
    """Train the adapter of `model` on `rows`. `folder`: for checkpoints; `resume`: continue from the newest one there.

    Raises ModelError if the loss is not a number any more.
    """
    from transformers import EarlyStoppingCallback, PrinterCallback, Trainer

    learned, held_back, notes = split_rows(rows, settings)
    callbacks: list[TrainerCallback] = [progress.callback()]
    if held_back and settings.early_stop:
        callbacks.append(EarlyStoppingCallback(settings.early_stop))
    trainer = Trainer(
        model=model,
        args=_arguments(settings, folder, len(learned), bool(held_back)),
        train_dataset=learned,  # type: ignore[arg-type]  # a list is a dataset too
        eval_dataset=held_back or None,  # type: ignore[arg-type]
        data_collator=lambda batch: pad_rows(batch, padding),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    newest = newest_checkpoint(folder) if resume else None
    outcome = trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    if progress.broken or not math.isfinite(outcome.training_loss):
        # To continue from here would repeat it.
        shutil.rmtree(folder, ignore_errors=True)
        raise ModelError(
            "The loss is not a number any more, so the adapter is of no use. Lower Learning rate (learning_rate), or "
            "set Base (base) to 16bit."
        )
    found = losses(trainer.state.log_history)
    return Trained(outcome.global_step, found["losses"], found["validation"], notes=notes)


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest whole checkpoint in `folder`; None if there is none. Removes those that were cut short.

    The Trainer writes trainer_state.json last, so a checkpoint with one that can be read is whole.
    """
    found: dict[int, Path] = {}
    for checkpoint in folder.glob("checkpoint-*"):
        try:
            found[int(json.loads((checkpoint / _STATE).read_text(encoding="utf-8"))["global_step"])] = checkpoint
        except (OSError, ValueError, KeyError, TypeError):
            shutil.rmtree(checkpoint, ignore_errors=True)
    return found[max(found)] if found else None


def save_adapter(model: PreTrainedModel, folder: Path, base_name: str) -> None:
    """Write the adapter into `folder` as PEFT does, with the model's name in place of its path."""
    model.save_pretrained(str(folder))
    config = folder / "adapter_config.json"
    values = {**json.loads(config.read_text(encoding="utf-8")), "base_model_name_or_path": base_name}
    config.write_text(json.dumps(values, indent=2, sort_keys=True), encoding="utf-8")
    # PEFT's card names the path too. The job writes another one.
    (folder / "README.md").unlink(missing_ok=True)


def split_rows(rows: Sequence[Row], settings: TrainingSettings) -> tuple[list[Row], list[Row], list[str]]:
    """Return (rows to learn, rows for the validation, notes), chosen by the seed."""
    count = round(len(rows) * settings.validation)
    if not settings.validation:
        return list(rows), [], []
    if count < 1 or len(rows) - count < _LEAST_SPLIT:
        return list(rows), [], [f"{len(rows)} examples are too few for a validation split: all are trained on."]
    shuffled = list(rows)
    random.Random(settings.seed).shuffle(shuffled)
    return shuffled[count:], shuffled[:count], []


def _arguments(settings: TrainingSettings, folder: Path, examples: int, evaluates: bool) -> TrainingArguments:
    """Return the Trainer's arguments. It evaluates once an epoch, and also saves then if it may stop early."""
    import torch
    from transformers import TrainingArguments

    per_epoch = math.ceil(math.ceil(examples / settings.batch_size) / settings.accumulation)
    steps = max(1, math.ceil(per_epoch * settings.epochs))
    evaluate_every = max(1, min(per_epoch, steps))
    stops_early = evaluates and settings.early_stop > 0
    save_every = evaluate_every if stops_early else min(_MOST_STEPS, max(per_epoch, steps // _MOST_SAVES, 1))
    return TrainingArguments(
        output_dir=str(folder),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        per_device_eval_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.schedule,
        warmup_steps=settings.warmup,
        optim=OPTIMIZERS[settings.optimizer],
        seed=settings.seed,
        logging_steps=max(1, steps // 100),
        logging_nan_inf_filter=False,
        save_strategy="steps",
        save_steps=save_every,
        save_total_limit=2,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=evaluate_every if evaluates else None,
        load_best_model_at_end=stops_early,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        report_to=[],
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
    )
