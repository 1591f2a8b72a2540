"""Applies LoRA adapters to a Transformers model with PEFT, several at once with weights, and removes them.

A PEFT folder: https://huggingface.co/docs/peft/developer_guides/checkpoint. PEFT wraps the model's modules and does not
change them. Removing adapters restores these modules, so the model is then exactly as before.
"""

from __future__ import annotations

import traceback
import warnings
from pathlib import Path

from torch import nn

from modules.protocol.errors import ModelError, PaddockError, Unsupported
from modules.worker.hf.error_messages import is_out_of_memory
from modules.worker.hf.model_files import check_safetensors, read_json

_WEIGHTS = "adapter_model.safetensors"
# Initializations that leave the model's own weights unchanged. Others (PiSSA, OLoRA, ...) change them.
_INITIAL = (True, False, None, "gaussian", "eva", "orthogonal")
_PREFIX = "base_model.model."


class LoraLayers:
    """The set of adapters that is applied to one model."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._own: list[tuple[nn.Module, str, nn.Module | None]] = []
        self._applied: dict[Path, float] = {}

    def use(self, wanted: dict[Path, float]) -> None:
        """Apply these adapters (folder -> weight) and no others.

        Raises ModelError or Unsupported; the previous adapters then stay.
        """
        if wanted and _offloaded(self._model):
            raise Unsupported(
                "LoRA adapters need all layers in one kind of memory, and some are offloaded. Lower the model's size "
                "(Quantization), or raise what the GPU may take, then load again."
            )
        for folder in wanted:
            _check(folder)
        before = self._applied
        try:
            self._put(wanted)
        except Exception:
            self._put(before)
            raise

    def merge(self, folder: Path) -> None:
        """Add the adapter in `folder` to the model's own weights, in their data type. Raises ModelError."""
        from peft.tuners.lora import LoraLayer

        self.use({folder: 1.0})
        head, embedding = self._model.get_output_embeddings(), self._model.get_input_embeddings()
        tied = getattr(head, "weight", None) is not None and head.weight is embedding.weight
        if tied and (isinstance(head, LoraLayer) or isinstance(embedding, LoraLayer)):
            self._take_out()
            raise ModelError(
                f"The LoRA adapter {folder.name} changes the head or the embeddings, which are one matrix in this "
                "model, so it cannot be merged. Apply it as an adapter, or train one with targets=all-linear."
            )
        for module in self._model.modules():
            if isinstance(module, LoraLayer):
                try:
                    module.merge(safe_merge=True)
                except ValueError as error:  # a weight that is not a number
                    raise ModelError(
                        f"The LoRA adapter {folder.name} cannot be merged ({error}). Choose another adapter."
                    ) from error
        # The model's own modules, which hold the sums now, are put back.
        self._take_out()

    def _put(self, wanted: dict[Path, float]) -> None:
        self._take_out()
        if not wanted:
            return
        self._own = [
            (parent, name, child) for parent in self._model.modules() for name, child in parent._modules.items()
        ]
        names = {f"adapter{number}": folder for number, folder in enumerate(wanted)}
        try:
            for name, folder in names.items():
                _put_in(self._model, name, folder)
            _switch_on(self._model, {name: wanted[folder] for name, folder in names.items()})
        except Exception:
            self._take_out()
            raise
        self._applied = dict(wanted)

    def _take_out(self) -> None:
        for parent, name, child in self._own:
            parent._modules[name] = child
        if self._own:
            # PEFT stores the configurations of its adapters here.
            vars(self._model).pop("peft_config", None)
        self._own, self._applied = [], {}


def _put_in(model: nn.Module, name: str, folder: Path) -> None:
    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict
    from peft.tuners.tuners_utils import cast_adapter_dtype
    from safetensors.torch import load_file

    try:
        config = LoraConfig.from_pretrained(str(folder))
        config.inference_mode = True
        # The weights come from the file.
        config.init_lora_weights = True
        with warnings.catch_warnings():
            # PEFT warns about every adapter after the first.
            warnings.filterwarnings("ignore", message="Already found a `peft_config`")
            inject_adapter_in_model(config, model, name)
        # In 32 bits, as PEFT does: the products are small, and rounding them would lose accuracy.
        cast_adapter_dtype(model, name)
        tensors = {key.removeprefix(_PREFIX): value for key, value in load_file(folder / _WEIGHTS).items()}
        result = set_peft_model_state_dict(model, tensors, name)
        lacking = [key for key in result.missing_keys if f".{name}." in key]
        if strange := result.unexpected_keys or lacking:
            raise ValueError(f"{len(strange)} tensors do not match, the first being {strange[0]}")
    except Exception as error:
        if isinstance(error, PaddockError) or is_out_of_memory(error):
            raise
        base = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
        raise ModelError(
            f"The LoRA adapter {folder.name} does not fit this model. Load the model that it was made for"
            f"{f' ({base})' if isinstance(base, str) and base else ''}, or choose another adapter.",
            detail=traceback.format_exc(),
        ) from None


def _switch_on(model: nn.Module, weights: dict[str, float]) -> None:
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.set_adapter(list(weights), inference_mode=True)
            for name, weight in weights.items():
                module.set_scale(name, weight)
    model.eval()


def _check(folder: Path) -> None:
    """Raise ModelError unless the folder has a LoRA adapter that leaves the model's own weights unchanged."""
    if not (folder / _WEIGHTS).is_file():
        raise ModelError(f"The LoRA adapter {folder.name} has no {_WEIGHTS}. Download it again.")
    check_safetensors(folder / _WEIGHTS)
    config: dict[str, object] = read_json(folder / "adapter_config.json")
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{folder.name} is no LoRA adapter ({config.get('peft_type')}). Choose another adapter.")
    changes = [name for name in ("modules_to_save", "trainable_token_indices", "megatron_config") if config.get(name)]
    changes += ["bias"] if config.get("bias", "none") != "none" else []
    changes += ["init_lora_weights"] if config.get("init_lora_weights") not in _INITIAL else []
    if changes:
        raise ModelError(
            f"The LoRA adapter {folder.name} also changes the model's own weights ({', '.join(changes)}), so it cannot "
            "be taken out again. Merge it into its model, or choose another adapter."
        )


def _offloaded(model: nn.Module) -> bool:
    places = {str(place) for place in (getattr(model, "hf_device_map", None) or {}).values()}
    return len(places) > 1 and bool(places & {"cpu", "disk", "meta"})
