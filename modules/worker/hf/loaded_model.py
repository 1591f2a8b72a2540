"""Facts of a Transformers model once it is loaded: its vocabulary, its context, and the device of its input."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import torch

from modules.families.transformers_settings import TransformersSettings
from modules.protocol.errors import ModelError
from modules.protocol.events import ModelInfo
from modules.worker.end_of_turn import end_of_turn_token
from modules.worker.hf.detokenizer import TokenDecoder
from modules.worker.hf.load_options import context_limits
from modules.worker.hf.packed_weights import count_parameters
from modules.worker.hf.sampler_chain import Vocabulary
from modules.worker.hf.special_tokens import end_tokens, newline_token
from modules.worker.template_process import TemplateProcess

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def describe_vocabulary(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    text: TokenDecoder,
    templates: TemplateProcess | None,
    template: str,
) -> Vocabulary:
    """Return the size of the vocabulary and the tokens that mean something to the engine.

    `template`: the model's chat template, which `templates` renders. Raises ModelError where config.json has no size.
    """
    head = model.get_output_embeddings()
    size = head.weight.shape[0] if head is not None and head.weight.ndim == 2 else 0
    wanted = int(model.config.get_text_config().vocab_size)
    if wanted <= 0:
        raise ModelError("The model's config.json has no vocab_size. Download the model again.")

    def last_token(words: str) -> int | None:
        tokens = text.encode(words, False)
        return tokens[-1] if tokens else None

    bos, eos = str(tokenizer.bos_token or ""), str(tokenizer.eos_token or "")
    end = end_of_turn_token(templates, template, bos, eos, text.names)
    ends = end_tokens(model, tokenizer, template, end)
    # Packed weights have another shape; then the size in config.json counts.
    return Vocabulary(size if size >= wanted else wanted, ends, newline_token(last_token), last_token)


def describe_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    settings: TransformersSettings,
    device: torch.device,
    template: tuple[str, str],
    notes: list[str],
) -> ModelInfo:
    """Return the facts of the model for the host. `template`: (the chat template, its source)."""
    config = model.config
    context, trained, context_notes = context_limits(config, settings)
    architectures = getattr(config, "architectures", None) or [type(model).__name__]
    return ModelInfo(
        context=context,
        trained_context=trained,
        device=str(device),
        dtype=str(model.dtype).removeprefix("torch."),
        architecture=str(architectures[0]),
        parameters=count_parameters(model),
        template=template[0],
        template_source=template[1],
        bos=str(tokenizer.bos_token or ""),
        eos=str(tokenizer.eos_token or ""),
        memory_bytes=int(model.get_memory_footprint()),
        notes=[*context_notes, *notes],
        kernel=packed_kernel(model),
    )


def packed_kernel(model: PreTrainedModel) -> str:
    """Return the class of the layers that multiply packed weights, such as "HQQLinear"; "" where none are packed."""
    linear = [type(module).__name__ for module in model.modules() if hasattr(module, "in_features")]
    kinds = Counter(name for name in linear if name != torch.nn.Linear.__name__)
    return kinds.most_common(1)[0][0] if kinds else ""


def input_device(model: PreTrainedModel) -> torch.device:
    """Return the device that input ids go to.

    Weights of offloaded layers are on no device ("meta"); accelerate then moves the input itself.
    """
    device: torch.device = model.get_input_embeddings().weight.device
    if device.type != "meta":
        return device
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
