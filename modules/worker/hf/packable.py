"""Checks, before any weight is read, that an engine which packs layers of certain kinds packs most of a model."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from modules.protocol.errors import ModelError
from modules.worker.hf.auto_class import TOWERS, text_class

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

# Below this share of the layers' weights the result is hardly smaller.
_LEAST_SHARE = 0.5


def check_packable(config: object, trusted: bool, kinds: tuple[type, ...], title: str) -> PretrainedConfig:
    """Return the model without weights (on "meta"). `config`: of the model, as AutoConfig returns it.

    Raise ModelError if less than half of the weights of the model's layers are in layers of `kinds`, which are those
    that the engine `title` packs.
    """
    import torch

    with torch.device("meta"):
        model = text_class(config).from_config(config, trust_remote_code=trusted)
    ends = {id(part) for part in (model.get_input_embeddings(), model.get_output_embeddings()) if part is not None}
    packed = others = 0
    names: Counter[str] = Counter()
    for path, module in model.named_modules():
        if id(module) in ends or any(name in path for name in TOWERS):
            continue
        weights = sum(weight.numel() for weight in module.parameters(recurse=False) if weight.ndim > 1)
        if isinstance(module, kinds):
            packed += weights
        else:
            others += weights
            names[type(module).__name__] += weights
    if packed < _LEAST_SHARE * (packed + others):
        raise ModelError(
            f"{title} packs linear layers, and {others / (packed + others):.0%} of the weights in this model's layers "
            f"are of another kind ({names.most_common(1)[0][0]}), so the result would hardly be smaller. Choose "
            "another method, such as gguf."
        )
    return model


def check_linear_use(model: PreTrainedModel) -> None:
    """Raise ModelError for a state-space model that multiplies with a layer's matrix itself, as Mamba does with dt_proj
    (transformers/models/mamba/modeling_mamba.py): bitsandbytes replaces that matrix by packed bytes."""
    if any(name.endswith(".dt_proj") for name, _ in model.named_modules()):
        raise ModelError(
            "This is a state-space model of Mamba's kind, which uses the matrix dt_proj outside of its layer, where "
            "bitsandbytes has only packed bytes. Choose another method, such as hqq."
        )
