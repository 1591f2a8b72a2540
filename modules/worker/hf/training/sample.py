"""The model's answers to one prompt while it is trained, to see what it has learned so far."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from modules.families.training_curve import SAMPLES, read_samples
from modules.families.training_settings import TrainingSettings
from modules.worker.engine import Report
from modules.worker.hf.training.chat_format import ChatFormat

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_TOKENS = 80
# Answers in a training with many epochs.
_MOST_SAMPLES = 20


class Sampler:
    """Answers the setting `sample` after an epoch. Answers are stored beside the checkpoints in the folder
    `checkpoints`, so a resumed training keeps the earlier ones."""

    def __init__(
        self, model: PreTrainedModel, chats: ChatFormat, settings: TrainingSettings, checkpoints: str, report: Report
    ) -> None:
        self._model = model
        self._chats = chats
        self._prompt = settings.sample.strip()
        self._every = math.ceil(settings.epochs / _MOST_SAMPLES)
        self._epochs = settings.epochs
        self._folder = Path(checkpoints)
        self._report = report
        self._tokens = self._prompt_tokens() if self._prompt else []

    def epoch_ended(self, step: int, epoch: float) -> None:
        """Answer the prompt if this epoch's turn has come, and report the answer."""
        number = round(epoch)
        if not self._prompt or (number % self._every and epoch < self._epochs):
            return
        text = self.answer()
        with (self._folder / SAMPLES).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "epoch": number, "text": text}) + "\n")
        self._report(f"Answer after epoch {number}: {' '.join(text.split())[:300]}", None)

    def samples(self) -> list[dict[str, object]]:
        """Return all answers, each {"step", "epoch", "text"}."""
        return read_samples(self._folder)

    def answer(self) -> str:
        """Return the model's greedy answer to the prompt."""
        import torch

        ids = torch.tensor([self._tokens], device=self._model.device)
        was_training = self._model.training
        self._model.eval()
        try:
            with torch.inference_mode():
                made = self._model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    do_sample=False,
                    max_new_tokens=_TOKENS,
                    use_cache=True,
                    eos_token_id=sorted(self._chats.ends) or None,
                    pad_token_id=self._chats.padding,
                )
        finally:
            self._model.train(was_training)
        return self._chats.text(made[0, ids.shape[1] :].tolist())

    def _prompt_tokens(self) -> list[int]:
        return self._chats.prompt_tokens(self._chats.render([{"role": "user", "content": self._prompt}], True))
