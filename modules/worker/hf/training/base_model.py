"""The model that an adapter is trained on: loaded in full precision or quantized, with an untrained adapter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modules.families.training_settings import TrainingSettings
from modules.protocol.errors import SettingError
from modules.worker.engine import Report
from modules.worker.hf.auto_class import text_class
from modules.worker.hf.bitsandbytes_config import packing_config
from modules.worker.hf.load_options import report_progress
from modules.worker.hf.model_files import missing_tensor_error

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel


def load_model(path: Path, options: Mapping[str, object], trusted: bool, report: Report, text: str) -> PreTrainedModel:
    """Return the model at `path` on the GPU or, without one, on the CPU. `options`: further ones of from_pretrained.

    Raises ModelError for missing tensors, and what Transformers raises.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(path), local_files_only=True, trust_remote_code=trusted)
    with report_progress(report, text):
        model, found = text_class(config).from_pretrained(
            str(path),
            config=config,
            local_files_only=True,
            trust_remote_code=trusted,
            output_loading_info=True,
            **options,
        )
    if missing := sorted(found["missing_keys"]):
        raise missing_tensor_error("The weights", missing)
    return model


def load_base(path: Path, settings: TrainingSettings, trusted: bool, report: Report) -> PreTrainedModel:
    """Return the model at `path` with its weights as the setting Base says, ready for training.

    16 bits are bfloat16 on a GPU. On a CPU they are float32, because few CPUs compute gradients in 16 bits.
    """
    import torch
    from peft import prepare_model_for_kbit_training

    on_gpu = torch.cuda.is_available()
    dtype = (torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16) if on_gpu else torch.float32
    options: dict[str, object] = {"dtype": dtype, "device_map": {"": 0 if on_gpu else "cpu"}}
    if settings.base != "16bit":
        options["quantization_config"] = packing_config(settings.base, dtype)
    model = load_model(path, options, trusted, report, "Loading the weights")
    model.config.use_cache = False
    if settings.base == "16bit":
        return model
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=on_gpu)


def add_adapter(model: PreTrainedModel, settings: TrainingSettings) -> PeftModel:
    """Return the model with an untrained adapter beside its layers. Raises SettingError for layers that it lacks."""
    from peft import LoraConfig, get_peft_model
    from transformers import set_seed

    names = [name.strip() for name in settings.targets.split(",") if name.strip()]
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # PEFT divides by the rank, so a float works too
        lora_dropout=settings.dropout,
        target_modules="all-linear" if names == ["all-linear"] else names,
        use_rslora=settings.rslora,
        use_dora=settings.dora,
    )
    set_seed(settings.seed)
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        linear = {name for name, module in model.named_modules() if "Linear" in str(type(module))}
        known = sorted({name.rsplit(".", 1)[-1] for name in linear})
        raise SettingError(
            f"The model has no layers named {settings.targets!r}. It has: {', '.join(known)}. Set Layers (targets) to "
            "some of these, or to all-linear."
        ) from error
