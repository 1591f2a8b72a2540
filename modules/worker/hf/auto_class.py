"""Chooses Transformers' class for a model that writes text, and keeps the text part of a multimodal model."""

from __future__ import annotations

import re
import traceback
from typing import Any

from modules.protocol.errors import ModelError

# Classes whose models accept a prompt of text alone and continue it.
_OTHERS = ("AutoModelForImageTextToText", "AutoModelForVision2Seq", "AutoModelForMultimodalLM")
_TOWERS = re.compile(
    r"(vision|visual|image|audio|speech|multi_?modal|projector|connector|aligner|merger|q_?former|resampler|"
    r"embed_tokens_extend|vqmodel|vqgan|^mtp)",
    re.IGNORECASE,
)
# Usual names of such parts. They are not quantized, because they are freed after the load.
TOWERS = ("vision_tower", "vision_model", "visual", "audio_tower", "multi_modal_projector", "connector", "aligner")
NO_IMAGES = "This model also takes images or sound, which Paddock does not read yet: it answers text."


def text_class(config: object) -> Any:
    """Return the Auto class for the architecture of `config`. If there is none, Transformers raises the error."""
    import transformers

    plain = transformers.AutoModelForCausalLM
    for known in (plain, *(getattr(transformers, name, None) for name in _OTHERS)):
        # Reading the mapping imports only the configuration's class.
        if known is not None and type(config) in known._model_mapping:
            return known
    return plain


def keep_text_part(model: Any) -> list[str]:
    """Free the parts of a loaded model that are only for images or sound. Return notes for the user. Raises ModelError
    if the model accepts no text without them."""
    inner = getattr(model, "model", None)
    places = [(part, name) for part in (model, inner) if part is not None for name, _ in part.named_children()]
    found = [(part, name, getattr(part, name)) for part, name in places if _TOWERS.search(name)]
    if not found:
        return []
    if why := _fails_with_text(model):
        raise ModelError(
            "This model takes no text without an image, and Paddock does not read images yet. Choose another model.",
            detail=why,
        )
    for part, name, _ in found:
        setattr(part, name, None)
    if _fails_with_text(model):
        for part, name, tower in found:
            setattr(part, name, tower)
    return [NO_IMAGES]


def _fails_with_text(model: Any) -> str:
    """Return the traceback if the model fails with a token of text alone, else ""."""
    import torch

    device = model.get_input_embeddings().weight.device
    if device.type == "meta":  # Offloaded: accelerate moves what goes in, and a try would read all layers.
        return ""
    try:
        with torch.inference_mode():
            model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=device), use_cache=False)
    except Exception:
        return traceback.format_exc()
    return ""
