"""Makes compressed-tensors models with LLM Compressor, layer after layer, on a GPU or on a CPU."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from loaders.llmcompressor.quantization import W8A8Settings
from modules.protocol.commands import Quantize, TryQuantize
from modules.protocol.errors import ModelError
from modules.worker.calibration_samples import few_samples_note
from modules.worker.engine import Report
from modules.worker.hf.error_messages import load_error, out_of_memory_error
from modules.worker.hf.layer_trial import LayerRun, layer_bytes, layer_trial, trial_rows
from modules.worker.hf.load_options import report_progress
from modules.worker.hf.model_files import check_folder, has_consent, load_tokenizer
from modules.worker.hf.quantized_folder import calibration_tokens, copy_companions
from modules.worker.hf.staged_folder import stage_for_transformers
from modules.worker.quantizer import Quantized, QuantizerBase, Trial

if TYPE_CHECKING:
    from llmcompressor.modifiers import Modifier
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_PACKAGES = ("llmcompressor", "compressed-tensors", "transformers", "torch")
_HEAD = "lm_head"
# Tokens that check the smoothing, and how much the logits may change. Rounding to 16 bits changes them by about 0.01, a
# wrong norm by about 1.
_PROBE, _LARGEST_CHANGE = 64, 0.2
# Shares of the work: until the model is loaded, and until it is quantized.
_LOADED, _QUANTIZED = 0.1, 0.95
_ATTENTION = ["re:.*q_proj", "re:.*k_proj", "re:.*v_proj"]
_MLP = ["re:.*gate_proj", "re:.*up_proj"]
_GEMMA = [(_ATTENTION, "re:.*input_layernorm"), (_MLP, "re:.*pre_feedforward_layernorm")]
# Architecture -> which layers read which norm, where LLM Compressor 0.14 does not know it, or takes another norm:
# Gemma's post_attention_layernorm is followed by an addition, and scaling it ruins the model.
_SMOOTHED = {
    "Gemma2ForCausalLM": _GEMMA,
    "Gemma3ForCausalLM": _GEMMA,
    "OPTForCausalLM": [
        (_ATTENTION, "re:.*self_attn_layer_norm"),
        (["re:.*fc1"], r"re:.*layers\.\d+\.final_layer_norm"),
    ],
}


class Quantizer(QuantizerBase):
    """Smooths, rounds and saves. The model stays in main memory; a GPU holds one layer at a time."""

    def quantize(self, request: Quantize, settings: W8A8Settings, report: Report) -> Quantized:
        os.environ["HF_HUB_OFFLINE"] = "1"
        source, target = Path(request.source), Path(request.target)
        trusted = has_consent("PADDOCK_TRUST_REMOTE_CODE")
        check_folder(source)
        tokenizer = load_tokenizer(source)
        report("Preparing the calibration text", 0.0)
        rows = calibration_tokens(request.calibration, source, tokenizer, settings)
        report("Importing LLM Compressor", 0.02)
        staged = stage_for_transformers(source, trusted)
        with staged as folder, out_of_memory_error("this model", ("samples", "length"), type(settings)):
            with load_error(source):
                model = _load(folder, trusted, report)
            _check_layers(model, source.name)
            _compress(model, tokenizer, rows, settings, report)
            report("Saving the packed weights", _QUANTIZED)
            model.save_pretrained(str(target), save_compressed=True)
        # The card has the same, and this file has tags that make an unsafe reader of YAML run code.
        (target / "recipe.yaml").unlink(missing_ok=True)
        copy_companions(source, target)
        notes = few_samples_note(rows, settings) if settings.scheme != "FP8_DYNAMIC" else []
        return Quantized({name: version(name) for name in _PACKAGES}, notes)

    def trial(self, request: TryQuantize, settings: W8A8Settings) -> Trial | None:
        os.environ["HF_HUB_OFFLINE"] = "1"
        source = Path(request.source)
        trusted = has_consent("PADDOCK_TRUST_REMOTE_CODE")
        check_folder(source)
        tokenizer = load_tokenizer(source)
        rows = trial_rows(request.calibration, source, tokenizer, settings)

        def run(folder: Path, some: list[list[int]]) -> LayerRun:
            model = _load(folder, trusted, _no_report)
            held = layer_bytes(model)
            begin = time.perf_counter()
            _compress(model, tokenizer, some, settings, _no_report)
            return LayerRun(time.perf_counter() - begin, held)

        with stage_for_transformers(source, trusted) as folder:
            return layer_trial(folder, rows, run)


def _no_report(text: str, fraction: float | None) -> None:
    """A trial is part of no work."""


def _load(folder: Path, trusted: bool, report: Report) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    with report_progress(lambda text, part: report(text, 0.02 + (_LOADED - 0.02) * (part or 0)), "Loading the weights"):
        return AutoModelForCausalLM.from_pretrained(
            str(folder), dtype="auto", local_files_only=True, trust_remote_code=trusted
        )


def _check_layers(model: PreTrainedModel, name: str) -> None:
    """Raise ModelError unless most matrices are in linear layers, which are those that LLM Compressor rounds."""
    import torch

    head = model.get_output_embeddings()
    matrices = rounded = 0
    for module in model.modules():
        if module is head or isinstance(module, torch.nn.Embedding):
            continue
        count = sum(weight.numel() for weight in module.parameters(recurse=False) if weight.ndim >= 2)
        matrices += count
        rounded += count if isinstance(module, torch.nn.Linear) else 0
    if rounded < 0.9 * matrices:
        raise ModelError(
            f"Most weights of {name} ({type(model).__name__}) are not in linear layers, and LLM Compressor would leave "
            "them in full precision. Choose another method, such as gguf."
        )


def _compress(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[list[int]],
    settings: W8A8Settings,
    report: Report,
) -> None:
    import torch
    from llmcompressor import oneshot
    from llmcompressor.pipelines.sequential import pipeline

    def batch(rows: list[list[int]]) -> dict[str, torch.Tensor]:
        tokens = torch.tensor(rows)
        return {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}

    def logits() -> torch.Tensor:
        with torch.inference_mode():
            return model(**batch([rows[0][:_PROBE]])).logits.float()

    architecture = type(model).__name__
    steps = _recipe(architecture, settings)
    pipeline.tqdm = _Progress(sum(step.requires_calibration_data for step in steps), report)
    report("Quantizing", _LOADED)
    for step in steps:
        smooths = type(step).__name__ == "SmoothQuantModifier"
        before = logits() if smooths else None
        data = torch.utils.data.DataLoader(rows, batch_size=1, collate_fn=batch)
        try:
            oneshot(model=model, processor=tokenizer, recipe=[step], dataset=data)
        except RuntimeError as error:
            if "resolving mappings" not in str(error):
                raise
            raise _cannot_smooth(architecture) from error
        # Smoothing changes no result. LLM Compressor may take the wrong norm of an architecture that it does not know.
        if before is not None and (logits() - before).norm() > _LARGEST_CHANGE * before.norm():
            raise _cannot_smooth(architecture)


def _cannot_smooth(architecture: str) -> ModelError:
    return ModelError(
        f"LLM Compressor cannot smooth {architecture}, since it does not know which layers read which norm. "
        "Leave the smoothing out: --set smoothing=0. Or choose another method."
    )


def _recipe(architecture: str, settings: W8A8Settings) -> list[Modifier]:
    """Return LLM Compressor's steps for the settings, in order."""
    from compressed_tensors.quantization import preset_name_to_scheme
    from llmcompressor.modifiers.gptq import GPTQModifier
    from llmcompressor.modifiers.quantization import QuantizationModifier
    from llmcompressor.modifiers.transform.smoothquant import SmoothQuantModifier

    scheme = preset_name_to_scheme(settings.scheme, ["Linear"])
    steps: list[Modifier] = []
    if settings.scheme == "W8A8" and settings.smoothing:
        known = _SMOOTHED.get(architecture)
        steps.append(SmoothQuantModifier(smoothing_strength=settings.smoothing, mappings=known))
    if settings.scheme == "W4A16":
        scheme.weights.group_size = settings.group_size
    common = {"config_groups": {"group_0": scheme}, "ignore": [_HEAD]}
    if settings.algorithm == "gptq" and settings.scheme != "FP8_DYNAMIC":
        steps.append(GPTQModifier(**common, dampening_frac=settings.damp_percent))
    else:
        steps.append(QuantizationModifier(**common))
    return steps


class _Progress:
    """Takes the place of tqdm. Each of `passes` over the model has bars named "(3/9): Calibrating"."""

    def __init__(self, passes: int, report: Report) -> None:
        self._passes, self._report = passes, report
        self._finished = 0

    def __call__(self, items: Iterable[object], total: int, desc: str) -> Iterator[object]:
        number, layers = (int(part) for part in desc[1 : desc.index(")")].split("/"))
        calibrating = desc.endswith("Calibrating")
        verb = "Calibrating" if calibrating else "Quantized"
        for count, item in enumerate(items):
            part = (count / max(1, total) + (not calibrating)) / 2
            done = (self._finished + (number - 1 + part) / layers) / self._passes
            self._report(f"{verb} part {number} of {layers}", _LOADED + (_QUANTIZED - _LOADED) * min(1.0, done))
            yield item
        self._finished += number == layers and not calibrating
