"""The log-probabilities of ExLlamaV2's jobs are the model's own, one entry for each token."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from loaders.exllamav2.logprobs import note_logprobs  # noqa: E402 (imported after the skip)


def test_each_sampled_token_gets_its_entry_before_the_sampler_changes_the_logits() -> None:
    def sample(logits: Any) -> tuple[Any, ...]:
        # As the engine's sampler: it changes the logits in place, and takes the likeliest token then.
        logits[:, :, 0] = -1e30
        return torch.argmax(logits[:1], dim=-1), None, None, None, False

    job = SimpleNamespace(receive_logits=sample)
    noted = note_logprobs(job, 2, 4, lambda token: bytes([97 + token]))
    # Two rows, as with guidance; the last number of each is padding.
    rows = torch.tensor([[[3.0, 2.0, 1.0, 0.0, 9.0]], [[0.0, 0.0, 0.0, 0.0, 0.0]]])
    rows[:, :, 4] = -1e30
    assert int(job.receive_logits(rows)[0]) == 1
    (entry,) = noted
    whole = math.log(sum(math.exp(value) for value in (3, 2, 1, 0)))
    assert (entry["token"], entry["bytes"]) == (1, [98])
    assert entry["logprob"] == pytest.approx(2 - whole, abs=1e-5)
    assert [one["token"] for one in entry["top"]] == [0, 1]
    assert entry["top"][0]["logprob"] == pytest.approx(3 - whole, abs=1e-5)
