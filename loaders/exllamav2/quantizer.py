"""Makes EXL2 models with ExLlamaV2's converter, on an NVIDIA card."""

from __future__ import annotations

import hashlib
import importlib
import json
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from loaders.exllamav2.conversion import Job, Request, Save, Steps, begin, convert, whole_fraction
from loaders.exllamav2.kernels import import_engine
from loaders.exllamav2.model_headers import read_config
from loaders.exllamav2.quantization import Exl2Settings
from modules.protocol.commands import Quantize
from modules.protocol.errors import PaddockError
from modules.worker.calibration_samples import few_samples_note
from modules.worker.engine import Report
from modules.worker.exllama.error_messages import translate_errors
from modules.worker.hf.model_files import check_folder, load_tokenizer, read_json
from modules.worker.hf.quantized_folder import calibration_tokens, copy_companions
from modules.worker.quantizer import Quantized, QuantizerBase

if TYPE_CHECKING:
    from exllamav2 import ExLlamaV2, ExLlamaV2Config

_MEMORY_ADVICE = "Set fewer samples, or a smaller length of a sample."
_PACKAGES = ("exllamav2", "torch", "transformers")


class Quantizer(QuantizerBase):
    """Measures what each layer loses at several bit rates, spends the bits by that, and rounds layer after layer."""

    def quantize(self, request: Quantize, settings: Exl2Settings, report: Report) -> Quantized:
        source, target, folder = Path(request.source), Path(request.target), Path(request.checkpoints)
        check_folder(source)
        report("Preparing the calibration text", 0.0)
        pieces = calibration_tokens(request.calibration, source, load_tokenizer(source), settings)
        report("Importing ExLlamaV2. The first time it compiles its kernels, which takes minutes", 0.0)
        torch, exl = import_engine()
        with translate_errors("ExLlamaV2", "quantizing this model", (), _MEMORY_ADVICE), ExitStack() as stages:
            config = read_config(exl, source, stages)
            config.arch_compat_overrides()
            rows = rows_of_one_length(pieces, min(settings.length, config.max_seq_len))
            if len(rows[0]) > config.max_input_len:
                config.max_input_len, config.max_attention_size = len(rows[0]), len(rows[0]) ** 2
            wanted = make_request(request, settings, rows)
            job = begin(wanted, folder)
            resumed = job["progress"] != "begin"
            convert(job, wanted, _steps(exl, torch, config, report))
        tidy(source, target)
        notes = [
            *few_samples_note(pieces, settings),
            *(["It went on from what an earlier run of this job had done."] if resumed else []),
            *(["The measurement of an earlier job with this model and text was used again."] if job["reused"] else []),
        ]
        return Quantized({name: version(name) for name in _PACKAGES}, notes)


def make_request(request: Quantize, settings: Exl2Settings, rows: list[list[int]]) -> Request:
    """Return what to make. A measurement is named by all that it depends on; the bits are no part of that."""
    source = [request.card["source"]["sha256"], version("exllamav2")]
    measured = rows[: settings.measurement_samples]
    return Request(
        bits=settings.bits,
        head_bits=settings.head_bits,
        rows=rows,
        measured_rows=settings.measurement_samples,
        text=request.card["calibration"]["source"],
        identity=_hash([*source, rows, asdict(settings)]),
        measurement=Path(request.measurements) / f"{_hash([*source, measured])}.json",
        target=Path(request.target),
    )


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def rows_of_one_length(pieces: Sequence[Sequence[int]], length: int) -> list[list[int]]:
    """Return the tokens of all pieces, one after another, in rows of `length`; shorter for a text that is shorter.

    The engine wants all rows in one tensor. What remains at the end is left out."""
    tokens = [token for piece in pieces for token in piece]
    length = min(length, len(tokens))
    return [tokens[start : start + length] for start in range(0, len(tokens) - length + 1, length)]


def tidy(source: Path, target: Path) -> None:
    """Keep the weights that the engine wrote into `target`, and put the source's own files beside them.

    The engine copies every file that is no tensor, such as the index of weights that are not there any more. Its
    config.json has Transformers 4's names, which are only for its own eyes."""
    config = read_json(source / "config.json")
    config["quantization_config"] = read_json(target / "config.json")["quantization_config"]
    for file in target.iterdir():
        if not file.match("output*.safetensors"):
            file.unlink()
    (target / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    copy_companions(source, target)


def _steps(exl: ModuleType, torch: ModuleType, config: ExLlamaV2Config, report: Report) -> Steps:
    """Return the engine's functions, which report to `report`."""

    def print_stage(job: Job, stage: str, done: int, total: int) -> None:
        if (fraction := whole_fraction(job, stage, done, total)) is not None:
            report(f"{stage}: {done} of {total}", fraction)

    # Each step imports this function by its name, so it is replaced before they are imported.
    vars(importlib.import_module("exllamav2.conversion.bot_status"))["print_stage"] = print_stage
    # The measurement's module asks at the terminal what Ctrl+C means. A worker has none.
    handler = signal.getsignal(signal.SIGINT)
    measure, optimize, quantize, compiler = (
        importlib.import_module(f"exllamav2.conversion.{name}")
        for name in ("measure", "optimize", "quantize", "compile")
    )
    signal.signal(signal.SIGINT, handler)

    @contextmanager
    def model(measuring: bool) -> Iterator[ExLlamaV2]:
        # As the engine's script has it: a measurement needs no buffer for all logits.
        config.max_output_len = 16 if measuring else None
        made = exl.ExLlamaV2(config)
        made.load(lazy=True)
        try:
            yield made
        finally:
            made.unload()

    def write_rows(rows: Sequence[Sequence[int]], file: Path) -> None:
        save_file = importlib.import_module("safetensors.torch").save_file
        save_file({"input_ids": torch.tensor([list(row) for row in rows], dtype=torch.long)}, str(file))

    def measure_layers(job: Job, save: Save, made: ExLlamaV2) -> None:
        if measure.measure_quant(job, save, made, 0) != "completed":
            raise PaddockError("ExLlamaV2 stopped its measurement. Run the job again: it continues there.")

    return Steps(
        model=model,
        write_rows=write_rows,
        embeddings=measure.embeddings,
        measure=measure_layers,
        optimize=optimize.optimize,
        quantize=quantize.quant,
        compile=compiler.compile_model,
    )
