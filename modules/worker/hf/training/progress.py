"""What a training reports while it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modules.families.training_curve import write_losses
from modules.worker.engine import Report

if TYPE_CHECKING:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

# Called after an epoch with the number of steps and of epochs so far.
EpochEnded = Callable[[int, float], None]


class TrainingProgress:
    """Follows a training: reports every step, and writes the losses so far beside the checkpoints.

    `broken` is True once the loss is not a number, which ends the training.
    """

    def __init__(self, report: Report, epoch_ended: EpochEnded) -> None:
        self.broken = False
        self._loss = ""
        self._report = report
        self._epoch_ended = epoch_ended

    def callback(self) -> TrainerCallback:
        """Return the callback for Transformers' Trainer."""
        from transformers import TrainerCallback

        progress = self

        class Callback(TrainerCallback):  # type: ignore[misc]  # Transformers has no types here
            def on_train_begin(
                self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
            ) -> None:
                self.started, self.first = time.perf_counter(), state.global_step
                before = f", continued from step {self.first}" if self.first else ""
                progress._report(f"Training {state.max_steps} steps{before}", self.first / max(1, state.max_steps))

            def on_step_end(
                self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
            ) -> None:
                done, total = state.global_step, state.max_steps
                pace = (time.perf_counter() - self.started) / max(1, done - self.first)
                text = f"Step {done} of {total}{progress._loss}, {pace:.2g} s a step"
                progress._report(text, done / max(1, total))

            def on_log(
                self,
                args: TrainingArguments,
                state: TrainerState,
                control: TrainerControl,
                logs: dict[str, float] | None = None,
                **_: object,
            ) -> None:
                write_losses(Path(args.output_dir), state.log_history)
                loss = (logs or {}).get("loss")
                if loss is not None:
                    progress._loss = f", loss {float(loss):.3g}"
                    if not math.isfinite(float(loss)):
                        progress.broken = control.should_training_stop = True
                        control.should_save = False

            def on_epoch_end(
                self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
            ) -> None:
                if not progress.broken:
                    progress._epoch_ended(state.global_step, float(state.epoch or 0))

        return Callback()
