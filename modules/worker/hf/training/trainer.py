"""Train a LoRA adapter on a Transformers model with PEFT and Transformers' Trainer.

LoRA: Hu et al. 2021; QLoRA, an NF4 base: Dettmers et al. 2023; DoRA: Liu et al. 2024; rsLoRA: Kalajdzievski 2023.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modules.families.training_settings import OPTIMIZERS, TrainingSettings
from modules.protocol.errors import ModelError, SettingError
from modules.worker.hf.training.progress import TrainingProgress
from modules.worker.hf.training.tokenized import Row, pad_rows

# Where the labels are -100 nothing is learned; this many examples are the least that a split leaves on both sides.
_LEAST_SPLIT = 2


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended. `losses`: (step, loss) of the log; `validation`: (step, loss) of the evaluations."""

    steps: int
    losses: list[tuple[int, float]] = field(default_factory=list)
    validation: list[tuple[int, float]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def load_base(path: Path, settings: TrainingSettings) -> Any:
    """Return the model at `path`, its weights held as the setting Base says, ready for a training.

    16 bits are bfloat16 on a GPU; on a CPU float32, as few CPUs compute gradients in 16 bits."""
    import torch
    from peft import prepare_model_for_kbit_training
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    on_gpu = torch.cuda.is_available()
    dtype = (torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16) if on_gpu else torch.float32
    options: dict[str, Any] = {"dtype": dtype, "device_map": {"": 0 if on_gpu else "cpu"}, "local_files_only": True}
    if settings.base == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=dtype,
        )
    elif settings.base == "int8":
        options["quantization_config"] = BitsAndBytesConfig(load_in_8bit=True)
    model = AutoModelForCausalLM.from_pretrained(str(path), **options)
    model.config.use_cache = False
    if settings.base == "16bit":
        return model
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=on_gpu)


def add_adapter(model: Any, settings: TrainingSettings) -> Any:
    """Return the model with an untrained adapter beside its layers. Raises SettingError for layers that it lacks."""
    from peft import LoraConfig, get_peft_model

    names = [name.strip() for name in settings.targets.split(",") if name.strip()]
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="all-linear" if names == ["all-linear"] else names,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        known = sorted(
            {name.rsplit(".", 1)[-1] for name, module in model.named_modules() if "Linear" in str(type(module))}
        )
        raise SettingError(
            f"The model has no layers named {settings.targets!r}. It has: {', '.join(known)}. Set Layers (targets) to "
            "some of these, or to all-linear."
        ) from error


def train(
    model: Any,
    rows: Sequence[Row],
    settings: TrainingSettings,
    folder: Path,
    padding: int,
    progress: TrainingProgress,
    resume: bool = False,
) -> TrainingResult:
    """Train the adapter of `model` on `rows`. `folder`: for checkpoints; `resume`: go on from the newest one there.

    Raises ModelError where the loss is no number."""
    from transformers import EarlyStoppingCallback, PrinterCallback, Trainer, TrainingArguments

    learned, held_back, notes = _split(rows, settings)
    steps = max(1, math.ceil(math.ceil(len(learned) / settings.batch_size) / settings.accumulation * settings.epochs))
    evaluates = bool(held_back)
    per_epoch = max(1, math.ceil(steps / max(1.0, settings.epochs)))
    arguments = TrainingArguments(
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
        save_strategy="steps",
        save_steps=per_epoch,
        save_total_limit=2,
        eval_strategy="steps" if evaluates else "no",
        eval_steps=per_epoch if evaluates else None,
        load_best_model_at_end=evaluates and settings.early_stop > 0,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        report_to=[],
        disable_tqdm=True,
        use_cpu=not _on_gpu(),
    )
    callbacks: list[Any] = [progress.callback()]
    if evaluates and settings.early_stop:
        callbacks.append(EarlyStoppingCallback(settings.early_stop))
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=learned,  # type: ignore[arg-type]  # a list is a dataset too
        eval_dataset=held_back or None,  # type: ignore[arg-type]
        data_collator=lambda batch: pad_rows(batch, padding),
        callbacks=callbacks,
    )
    trainer.remove_callback(PrinterCallback)
    found = resume and any(folder.glob("checkpoint-*"))
    outcome = trainer.train(resume_from_checkpoint=True if found else None)
    if not math.isfinite(outcome.training_loss):
        raise ModelError(
            "The loss is no number any more, so the adapter is of no use. Lower Learning rate (learning_rate), or set "
            "Base to 16bit."
        )
    return TrainingResult(outcome.global_step, progress.losses, progress.validation, notes)


def save_adapter(model: Any, folder: Path, base_name: str, settings: TrainingSettings) -> None:
    """Write the adapter into `folder` as PEFT does, with the base's name in place of its path, and the settings."""
    model.save_pretrained(str(folder))
    config = folder / "adapter_config.json"
    values = {**json.loads(config.read_text(encoding="utf-8")), "base_model_name_or_path": base_name}
    config.write_text(json.dumps(values, indent=2, sort_keys=True), encoding="utf-8")
    (folder / "training.json").write_text(json.dumps(asdict(settings), indent=2), encoding="utf-8")


def _on_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _split(rows: Sequence[Row], settings: TrainingSettings) -> tuple[list[Row], list[Row], list[str]]:
    """Return (rows to learn, rows for the validation, notes), chosen by the seed."""
    import random

    count = round(len(rows) * settings.validation)
    if not settings.validation:
        return list(rows), [], []
    if count < 1 or len(rows) - count < _LEAST_SPLIT:
        return list(rows), [], [f"{len(rows)} examples are too few for a validation split: all are trained on."]
    shuffled = list(rows)
    random.Random(settings.seed).shuffle(shuffled)
    return shuffled[count:], shuffled[:count], []
