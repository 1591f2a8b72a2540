"""Chooses Transformers' class for a model that writes text, and what is kept of one that also takes images or sound."""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from modules.protocol.errors import ModelError
from modules.worker.hf.image_processor import EITHER, IMAGES, SOUND, load_processor

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin
    from transformers.models.auto.auto_factory import _BaseAutoModelClass

# Classes whose models accept a prompt of text alone and continue it.
_OTHERS = ("AutoModelForImageTextToText", "AutoModelForVision2Seq", "AutoModelForMultimodalLM")
_TOWERS = re.compile(
    r"(vision|visual|image|audio|speech|multi_?modal|projector|connector|aligner|merger|q_?former|resampler|"
    r"embed_tokens_extend|vqmodel|vqgan|^mtp)",
    re.IGNORECASE,
)
# Usual names of such parts. They are not quantized, because they are freed after the load.
TOWERS = ("vision_tower", "vision_model", "visual", "audio_tower", "multi_modal_projector", "connector", "aligner")
_SEES = re.compile(r"(vision|visual|image|vqmodel|vqgan)", re.IGNORECASE)
_HEARS = re.compile(r"(audio|speech)", re.IGNORECASE)
_WITHOUT = {IMAGES: "an image", SOUND: "a sound", EITHER: "an image or a sound"}


def text_class(config: object, images: bool = False) -> type[_BaseAutoModelClass]:
    """Return the Auto class for the architecture of `config`. If there is none, Transformers raises the error.

    `images`: prefer a class that takes images too.
    """
    import transformers

    plain: type[_BaseAutoModelClass] = transformers.AutoModelForCausalLM
    others = [getattr(transformers, name, None) for name in _OTHERS]
    for known in (*others, plain) if images else (plain, *others):
        # Reading the mapping imports only the configuration's class.
        if known is not None and type(config) in known._model_mapping:
            found: type[_BaseAutoModelClass] = known
            return found
    return plain


def image_processor(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, wanted: bool
) -> tuple[ProcessorMixin | None, list[str]]:
    """Return the processor with which a loaded model takes images, or None, and notes for the user.

    Without one, or if images are not `wanted`, the parts of the model for images and sound are freed. Raises ModelError
    if the model accepts no text without them.
    """
    found = _towers(model)
    if not found:
        return None, []
    takes = taken_beside_text([name for _, name, _ in found])
    processor, why = load_processor(folder, tokenizer, takes) if wanted else (None, "")
    return (processor, []) if processor else (None, _keep_text_part(model, found, takes, why))


def taken_beside_text(names: Sequence[str]) -> str:
    """Return what a model with parts of these names takes beside text. Other names do not say which of both."""
    sees, hears = (any(map(pattern.search, names)) for pattern in (_SEES, _HEARS))
    return EITHER if sees == hears else IMAGES if sees else SOUND


def text_only_note(takes: str) -> str:
    """Return the note on a model that takes IMAGES, SOUND or EITHER beside text, and is loaded without that part."""
    return f"This model also takes {takes}. That part is not loaded: it answers text."


def _towers(model: PreTrainedModel) -> list[tuple[Module, str, Module]]:
    """Return the parts for images and sound, as (their parent, name, part)."""
    inner = getattr(model, "model", None)
    places = [(part, name) for part in (model, inner) if part is not None for name, _ in part.named_children()]
    return [(part, name, getattr(part, name)) for part, name in places if _TOWERS.search(name)]


def _keep_text_part(model: PreTrainedModel, found: list[tuple[Module, str, Module]], takes: str, why: str) -> list[str]:
    if failed := _fails_with_text(model):
        missing = f"This model takes no text without {_WITHOUT[takes]}, and its part for {takes} is not loaded."
        raise ModelError(
            " ".join(filter(None, (missing, why, "Choose another model, or another loader."))), detail=failed
        )
    for part, name, _ in found:
        setattr(part, name, None)
    if _fails_with_text(model):
        for part, name, tower in found:
            setattr(part, name, tower)
    return [f"{text_only_note(takes)} {why}".rstrip()]


def _fails_with_text(model: PreTrainedModel) -> str:
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
