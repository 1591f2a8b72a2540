"""What a training reports while it runs, and how it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

# step, of how many, loss (None before the first), seconds left (None before they can be told).
ReportStep = Callable[[int, int, float | None, float | None], None]


class TrainingProgress:
    """Follows a training. `report` is called after each step; `cancelled` is asked then, and True ends the training.

    `losses` and `validation` hold (step, loss)."""

    def __init__(self, report: ReportStep, cancelled: Callable[[], bool], epoch_ended: Callable[[int], None]) -> None:
        self.losses: list[tuple[int, float]] = []
        self.validation: list[tuple[int, float]] = []
        self.was_cancelled = False
        self._report = report
        self._cancelled = cancelled
        self._epoch_ended = epoch_ended

    def callback(self) -> Any:
        """Return the callback for Transformers' Trainer."""
        from transformers import TrainerCallback

        progress = self

        class Callback(TrainerCallback):  # type: ignore[misc]  # Transformers has no types here
            def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                self.started, self.first = time.perf_counter(), state.global_step
                progress._report(state.global_step, state.max_steps, None, None)

            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                done = state.global_step - self.first
                left = (time.perf_counter() - self.started) / done * (state.max_steps - state.global_step)
                loss = progress.losses[-1][1] if progress.losses else None
                progress._report(state.global_step, state.max_steps, loss, left)
                if progress._cancelled():
                    progress.was_cancelled = control.should_training_stop = control.should_save = True

            def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
                for key, kept in (("loss", progress.losses), ("eval_loss", progress.validation)):
                    if key in (logs or {}):
                        kept.append((state.global_step, float(logs[key])))

            def on_epoch_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                progress._epoch_ended(state.global_step)

        return Callback()
