"""The logits of every token of a text, from vLLM's engine in this process.

A request for all log-probabilities of a prompt returns a Python object for each entry of the vocabulary, which takes
minutes. So a hook keeps what the layer that computes logits returns. vLLM's own log-probability of each token of the
prompt shows which rows belong to it (others are for sampling), and that they are right.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modules.protocol.errors import PaddockError, PromptError
from modules.protocol.events import ScoreResult

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor
    from torch.nn import Module
    from vllm import RequestOutput

# vllm/model_executor/layers/logits_processor.py, and vllm/lora/layers/logits_processor.py around it.
_LAYER = "LogitsProcessor"
# Both sides come from the same logits, in 32 bits.
_TOLERANCE = 1e-3


def check_scoring(count: int, context: int) -> None:
    """Raise PromptError if a text of `count` tokens is too long for the context."""
    if count >= context:
        raise PromptError(
            f"vLLM reads at most {context - 1} tokens at once with this context. Lower it: --set window={context - 1}."
        )


def score_tokens(outputs: Iterator[object], tokens: list[int], first: int) -> ScoreResult:
    """Return the answer to commands.Score without logits, for a model in several processes.

    `outputs`: of a request for `tokens` with prompt_logprobs=0, which begins when the first one is asked for.
    """
    begin = time.perf_counter()
    own = _own_log_probabilities(outputs, tokens)[first - 1 :]
    seconds = time.perf_counter() - begin
    return {"rows": len(own), "vocabulary": 0, "seconds": seconds, "log_probabilities": own}


def _own_log_probabilities(outputs: Iterator[RequestOutput], tokens: list[int]) -> list[float]:
    """Return vLLM's log-probabilities of tokens[1:]."""
    own: list[float] = []
    for output in outputs:
        if output.prompt_logprobs:
            # Nothing predicts the first token.
            pairs = zip(tokens[1:], output.prompt_logprobs[1:], strict=True)
            own = [entry[token].logprob for token, entry in pairs]
    return own


class LogitsRecorder:
    """Keeps logits while it records. `engine`: an LLMEngine whose model is in this process."""

    def __init__(self, engine: Any) -> None:
        self._kept: list[NDArray[np.float32]] | None = None
        engine.apply_model(self._watch)

    def score(self, outputs: Iterator[object], tokens: list[int], first: int, file: Path) -> ScoreResult:
        """Write logits and answer as commands.Score says. `outputs`: as for `score_tokens`."""
        begin = time.perf_counter()
        with self._record() as kept:
            own = _own_log_probabilities(outputs, tokens)
        seconds = time.perf_counter() - begin
        rows = prompt_rows(kept, tokens, own)[first - 1 :]
        rows.tofile(file)
        return {"rows": rows.shape[0], "vocabulary": rows.shape[1], "seconds": seconds}

    @contextmanager
    def _record(self) -> Iterator[list[NDArray[np.float32]]]:
        """Yield a list that gets the logits that are computed in the block, float32 [rows, vocabulary] each."""
        kept: list[NDArray[np.float32]] = []
        self._kept = kept
        try:
            yield kept
        finally:
            self._kept = None

    def _watch(self, model: Module) -> None:
        layers = (module for module in model.modules() if type(module).__name__.startswith(_LAYER))
        if (layer := next(layers, None)) is None:
            raise PaddockError("vLLM computes the logits of this model in an unknown way. Choose another loader.")
        layer.register_forward_hook(self._keep)

    def _keep(self, layer: Module, given: object, logits: Tensor) -> None:
        if self._kept is not None and logits is not None:
            import torch

            # A copy, since the sampler changes logits in place.
            self._kept.append(logits.detach().to("cpu", torch.float32, copy=True).numpy())


def prompt_rows(
    kept: Sequence[NDArray[np.float32]], tokens: Sequence[int], log_probabilities: Sequence[float]
) -> NDArray[np.float32]:
    """Return the logits of a prompt, float32 [len(tokens) - 1, vocabulary], from all that were kept, in order.

    `log_probabilities`: vLLM's, of tokens[1:]. Raises PaddockError where they are not found in `kept`.
    """
    targets, expected = np.asarray(tokens[1:]), np.asarray(log_probabilities, dtype=np.float32)
    found: list[NDArray[np.float32]] = []
    row = 0
    for logits in kept:
        # The last row of a prompt predicts the reply.
        part = logits[: len(targets) - row]
        end = row + len(part)
        same = np.isclose(_log_probabilities(part, targets[row:end]), expected[row:end], 0, _TOLERANCE, equal_nan=True)
        if len(part) and same.all():
            found.append(part)
            row = end
    if row < len(targets):
        raise PaddockError("vLLM did not return the logits of every token. Evaluate the model with another loader.")
    return np.concatenate(found)


def _log_probabilities(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the log-probability of each row's target."""
    highest = logits.max(axis=1, initial=-np.inf)
    total = np.exp(logits - highest[:, None], dtype=np.float32).sum(axis=1, dtype=np.float64)
    found: NDArray[np.float64] = logits[np.arange(len(targets)), targets] - highest - np.log(total)
    return found
