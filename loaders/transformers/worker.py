"""The Transformers engine with full-precision weights, or quantized by bitsandbytes while they load."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from loaders.transformers.spec import Settings
from modules.protocol.errors import ModelError, SettingError
from modules.worker.engine import Report
from modules.worker.hf.auto_class import text_class
from modules.worker.hf.bitsandbytes_config import avoid_cpu_kernel, packing_config
from modules.worker.hf.load_options import device_placement, pick_dtype, report_progress, with_rope
from modules.worker.hf.model_files import check_folder, has_consent, load_tokenizer, missing_tensor_error, weight_files
from modules.worker.hf.reading_engine import ReadingEngine
from modules.worker.hf.staged_folder import stage_file
from modules.worker.hf.text_encoder import is_unused, reader_class
from modules.worker.llama.gguf_keys import read_keys
from modules.worker.llama.space_prefix import SpacePrefix, is_sentencepiece, space_prefix

if TYPE_CHECKING:
    import torch
    from torch.nn import Module
    from transformers import BitsAndBytesConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


class Engine(ReadingEngine):
    """Any causal language model of Transformers, embedding models, and rerankers."""

    def check(self, path: Path) -> None:
        """Check that the files are there. A GGUF file is checked by its reader."""
        if path.suffix.lower() != ".gguf":
            check_folder(path)
        elif not path.is_file():
            raise ModelError(f"{path.name} is not there. Press refresh, or look into models/.")

    def load_model(
        self, path: Path, settings: Settings, report: Report
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        report("Importing Transformers", None)
        if path.suffix.lower() != ".gguf":
            whole = all(file.suffix == ".safetensors" for file in weight_files(path))
            return self._load(path, settings, report, {"use_safetensors": whole})
        if settings.quantization != "none":
            raise SettingError("A GGUF file cannot be quantized again while it loads. Set Quantization to none.")
        with stage_file(path) as stage:
            return self._load(stage, settings, report, {"gguf_file": path.name}, path)

    def apply_adapter(self, adapters: dict[str, float]) -> None:
        # PEFT imports bitsandbytes.
        _hush_bitsandbytes()
        self.use_adapters(adapters)

    def _load(
        self, path: Path, settings: Settings, report: Report, options: dict[str, object], file: Path | None = None
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        """Load model and tokenizer. `file`: the GGUF file itself, where `path` is its staged folder."""
        from transformers import AutoConfig

        trusted = has_consent("PADDOCK_TRUST_REMOTE_CODE")
        gguf = {key: value for key, value in options.items() if key == "gguf_file"}
        config = AutoConfig.from_pretrained(str(path), local_files_only=True, trust_remote_code=trusted, **gguf)
        tokenizer = _gguf_tokenizer(path, file) if file else load_tokenizer(path)
        options.update(device_placement(settings, self.offload_folder() if settings.disk_offload else ""))
        if settings.attention != "auto":
            options["attn_implementation"] = settings.attention
        options["dtype"] = pick_dtype(settings.dtype, settings.device_map)
        if (quantization := _quantization(settings, config, options["dtype"])) is not None:
            options["quantization_config"] = quantization
        kind = reader_class(config, self.purpose) if self.reads_only else text_class(config, settings.images)
        with report_progress(report, "Unpacking the weights" if gguf else "Loading the weights"):
            model, found = kind.from_pretrained(
                str(path),
                config=with_rope(config, settings),
                local_files_only=True,
                trust_remote_code=trusted,
                output_loading_info=True,
                **options,
            )
        # Transformers fills missing tensors with random numbers, and such a model writes nonsense.
        if missing := sorted(name for name in found["missing_keys"] if not self._is_unused(name)):
            raise missing_tensor_error(f"The weights of {gguf.get('gguf_file', path.name)}", missing)
        if _saved_method(config) in ("bitsandbytes", "compressed-tensors", "fp8"):
            _convert_weights(model, options["dtype"])
        _forget_outliers(model)
        avoid_cpu_kernel(model)
        return model, tokenizer

    def _is_unused(self, tensor: str) -> bool:
        """Return True for a tensor that the model may lack."""
        return self.reads_only and self.purpose != "rerank" and is_unused(tensor)


def _gguf_tokenizer(stage: Path, file: Path) -> PreTrainedTokenizerBase:
    """Return the tokenizer of the GGUF file `file`, which is staged in the folder `stage`."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(stage), gguf_file=file.name, local_files_only=True)
    except Exception as error:
        raise ModelError(
            f"Transformers cannot read the tokenizer in {file.name} ({error}). Choose a llama.cpp loader for it."
        ) from error
    keys = read_keys(file)
    if is_sentencepiece(keys):
        _place_spaces(tokenizer, space_prefix(file, keys))
    return tokenizer


def _place_spaces(tokenizer: PreTrainedTokenizerBase, rule: SpacePrefix) -> None:
    """Place spaces as the file says.

    Transformers always puts a space before the first text, so the model would see other tokens than in its training.
    """
    from tokenizers import decoders, normalizers, pre_tokenizers

    inner = tokenizer.backend_tokenizer
    scheme = {"never": "never", "start": "first", "all": "never" if rule.doubled else "always"}[rule.places]
    inner.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme=scheme, split=False)
    inner.normalizer = normalizers.Prepend("▁") if rule.doubled else None
    spaces = [decoders.Strip(content=" ", left=1)] if rule.places != "never" else []
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *spaces])


def _hush_bitsandbytes() -> None:
    """Drop two of its warnings, which also appear in a good run; all others pass.

    One appears with every product of int8 matrices, the other says that it does not download a kernel.
    """
    usual = ("inputs will be cast from", "Failed to load CPU gemm_4bit_forward")
    for name in ("autograd._functions", "backends.cpu.ops"):
        logging.getLogger(f"bitsandbytes.{name}").addFilter(
            lambda record: not any(word in record.msg for word in usual)
        )


def _forget_outliers(model: PreTrainedModel) -> None:
    """Drop the outlier columns that bitsandbytes keeps for each int8 matrix, which only training needs.

    These tiny tensors lie between the large ones of each product and kept up to 200 MB of memory fragmented.
    """

    def forget(layer: Module, *_: object) -> None:
        layer.state.idx = None

    for module in model.modules():
        if type(module).__name__ == "Linear8bitLt":
            module.register_forward_hook(forget)


def _saved_method(config: PretrainedConfig) -> str:
    """Return the quantization method that the model was saved with, "" for full precision."""
    saved = getattr(config, "quantization_config", None)
    return str(saved.get("quant_method", "") if isinstance(saved, dict) else getattr(saved, "quant_method", "") or "")


def _convert_weights(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Convert weights of other floating point types to `dtype`.

    Transformers 5.23 leaves those beside packed matrices in the type of the file, and products of two types fail.
    """
    for weight in model.parameters():
        if weight.is_floating_point() and weight.dtype != dtype and weight.device.type != "meta":
            weight.data = weight.data.to(dtype)


def _quantization(settings: Settings, config: PretrainedConfig, dtype: torch.dtype) -> BitsAndBytesConfig | None:
    """Return the quantization_config for from_pretrained; None to load the weights as they are."""
    if settings.quantization == "none":
        if _saved_method(config) == "compressed-tensors":
            # Else they would be unpacked at the first token. What is passed beside the saved values is ignored.
            config.quantization_config["dequantize"] = True
            return None
        if _saved_method(config) != "fp8":
            return None
        from transformers import FineGrainedFP8Config

        # Products of FP8 matrices need the package `kernels`, which downloads code at run time.
        return FineGrainedFP8Config(dequantize=True)
    if getattr(config, "quantization_config", None) is not None:
        raise SettingError("This model is already quantized. Set Quantization to none to use it as it is.")
    _hush_bitsandbytes()
    own = settings.compute_dtype == "auto"
    return packing_config(
        settings.quantization,
        dtype if own else pick_dtype(settings.compute_dtype, settings.device_map),
        double_quantization=settings.double_quantization,
        cpu_offload=settings.cpu_offload,
    )
