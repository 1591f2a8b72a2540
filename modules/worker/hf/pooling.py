"""From the last hidden layer to one vector for each text, as sentence-transformers pools it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from modules.protocol.errors import ModelError
from modules.worker.hf.model_files import check_safetensors, read_json

if TYPE_CHECKING:
    from torch.nn import Module


def pool(hidden: torch.Tensor, mask: torch.Tensor, modes: tuple[str, ...]) -> torch.Tensor:
    """Return the pooled vectors: [texts, hidden size × modes].

    `hidden`: [texts, tokens, hidden size]; `mask`: [texts, tokens], 1 for tokens and 0 for the padding behind them.
    """
    hidden = hidden.float()
    mask = mask.to(hidden.device)
    real = mask.unsqueeze(-1).float()
    counts = real.sum(1)
    parts = []
    for mode in modes:
        if mode == "cls":
            parts.append(hidden[:, 0])
        elif mode == "lasttoken":
            last = mask.sum(1) - 1
            parts.append(hidden[torch.arange(len(hidden), device=hidden.device), last])
        elif mode == "max":
            parts.append(hidden.masked_fill(real == 0, float("-inf")).amax(1))
        elif mode == "weightedmean":
            weights = real * torch.arange(1, hidden.shape[1] + 1, device=hidden.device)[None, :, None]
            parts.append((hidden * weights).sum(1) / weights.sum(1))
        else:
            sums = (hidden * real).sum(1)
            parts.append(sums / (counts.sqrt() if mode == "mean_sqrt_len_tokens" else counts))
    return torch.cat(parts, 1)


class DenseLayer:
    """A linear layer with an activation behind the pooling, from the folder of a step (Dense). Raises ModelError."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        config = read_json(folder / "config.json")
        file = folder / "model.safetensors"
        if not file.is_file():
            raise ModelError(
                f"{folder.name} of the embedding model has no model.safetensors. Get the model in that format, or "
                "choose another one."
            )
        check_safetensors(file)
        from safetensors.torch import load_file

        tensors = {name: value.to(device).float() for name, value in load_file(str(file)).items()}
        if "linear.weight" not in tensors:
            raise ModelError(f"{folder.name} of the embedding model lacks linear.weight. Download the model again.")
        self._weight, self._bias = tensors["linear.weight"], tensors.get("linear.bias")
        self._activation = _activation(str(config.get("activation_function", "")))

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return the layer's output: [texts, out features]."""
        moved: torch.Tensor = self._activation(torch.nn.functional.linear(vectors, self._weight, self._bias))
        return moved


def _activation(name: str) -> Module:
    """Return the activation of torch that the file names, such as "torch.nn.modules.activation.Tanh"."""
    kind = name.rpartition(".")[2]
    known = {"": torch.nn.Tanh, **{one.__name__: one for one in _ACTIVATIONS}}
    if kind not in known:
        raise ModelError(
            f"The embedding model has the activation {kind[:60]!r}, which Paddock does not know. Choose another one."
        )
    return known[kind]()


_ACTIVATIONS = (torch.nn.Tanh, torch.nn.Identity, torch.nn.ReLU, torch.nn.GELU, torch.nn.Sigmoid, torch.nn.SiLU)
