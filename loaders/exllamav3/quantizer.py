"""Makes EXL3 models with ExLlamaV3's converter, on an NVIDIA card."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import shutil
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

from loaders.exllamav3.progress_lines import ProgressLines
from loaders.exllamav3.quantization import Exl3Settings
from modules.protocol.commands import Quantize
from modules.protocol.errors import ModelError, OutOfMemory, PaddockError
from modules.worker.calibration_samples import few_samples_note
from modules.worker.engine import Report
from modules.worker.hf.cuda_kernels import import_with_kernels
from modules.worker.hf.error_messages import is_out_of_memory
from modules.worker.hf.model_files import check_folder, load_tokenizer
from modules.worker.hf.quantized_folder import calibration_tokens, copy_companions
from modules.worker.quantizer import Quantized, QuantizerBase

_PACKAGES = ("exllamav3", "torch", "transformers")
_CONVERTER = "exllamav3.conversion.convert_model"
_IDENTITY = "identity.txt"
_WRITTEN = ("model*.safetensors", "model.safetensors.index.json", "config.json", "quantization_config.json")


class Quantizer(QuantizerBase):
    """Rounds layer after layer. The engine keeps checkpoints, from which a stopped job continues."""

    def quantize(self, request: Quantize, settings: Exl3Settings, report: Report) -> Quantized:
        source, target, folder = Path(request.source), Path(request.target), Path(request.checkpoints)
        layers = int(check_folder(source).get("num_hidden_layers") or 0)
        report("Preparing the calibration text", 0.0)
        rows = calibration_tokens(request.calibration, source, load_tokenizer(source), settings)
        report("Importing ExLlamaV3. The first time it compiles its kernels, which takes minutes", 0.0)
        torch, _, converter = import_with_kernels("ExLlamaV3", "exllamav3", _CONVERTER, "run the job again")
        with _errors(source):
            resumed = prepare_folder(folder, request, settings)
            _write_rows(torch, rows, folder / "calibration.safetensors")
            given = converter.parser.parse_args(arguments(source, target, folder, settings, rows, resumed))
            with contextlib.redirect_stdout(ProgressLines(layers, report, 0.05, 0.95)):
                job, state, ready, why = converter.prepare(given)
                if not ready:
                    raise ModelError(f"ExLlamaV3 does not accept this job: {why} Choose another method.")
                report("Quantizing layer 1", 0.05)
                converter.main(job, state)
        tidy(source, target)
        return Quantized(
            {name: version(name) for name in _PACKAGES},
            [
                *few_samples_note(rows, settings),
                *(["It went on from what an earlier run of this job had done."] if resumed else []),
            ],
        )


def arguments(
    source: Path, target: Path, folder: Path, settings: Exl3Settings, rows: Sequence[Sequence[int]], resume: bool
) -> list[str]:
    """Return the arguments of ExLlamaV3's convert.py."""
    values = {
        "--in_dir": source,
        "--out_dir": target,
        "--work_dir": folder,
        "--bits": settings.bits,
        "--head_bits": settings.head_bits,
        "--cal_data": folder / "calibration.safetensors",
        "--cal_rows": len(rows),
        "--cal_cols": max(map(len, rows)),
    }
    return [text for name, value in values.items() for text in (name, str(value))] + ["--resume"] * resume


def prepare_folder(folder: Path, request: Quantize, settings: Exl3Settings) -> bool:
    """Empty the folder unless an earlier run of the same job left a checkpoint there; return True if one did."""
    card = request.card
    made = [card["source"]["sha256"], card["calibration"]["sha256"], asdict(settings), version("exllamav3")]
    identity = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
    mark = folder / _IDENTITY
    # The engine renames its folder of checkpoints; a run that was killed in between left none.
    whole = (folder / "ckpt" / "job.json").is_file() and (folder / "args.json").is_file()
    if whole and mark.is_file() and mark.read_text(encoding="utf-8") == identity:
        return True
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    mark.write_text(identity, encoding="utf-8")
    return False


def tidy(source: Path, target: Path) -> None:
    """Keep what the engine wrote into `target`, and put the source's tokenizer and template beside it.

    The engine copies every other file of the source too."""
    for file in target.iterdir():
        if not any(file.match(pattern) for pattern in _WRITTEN):
            file.unlink()
    copy_companions(source, target)


def _write_rows(torch: ModuleType, rows: Sequence[Sequence[int]], file: Path) -> None:
    """Store rows of tokens, which may differ in length, as the engine's get_file_calibration reads them."""
    longest = max(map(len, rows))
    padded = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows], dtype=torch.long)
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    importlib.import_module("safetensors.torch").save_file({"input_ids": padded, "lengths": lengths}, str(file))


@contextlib.contextmanager
def _errors(source: Path) -> Iterator[None]:
    """Convert the errors of torch and ExLlamaV3 to sentences."""
    try:
        yield
    except PaddockError:
        raise
    except Exception as error:
        detail = traceback.format_exc()
        if is_out_of_memory(error):
            raise OutOfMemory(
                "Not enough memory on the graphics card for quantizing this model. Set fewer samples, or a smaller "
                "length of a sample.",
                detail=detail,
            ) from None
        words = str(error).strip().split("\n")[0][:300] or type(error).__name__
        raise ModelError(
            f"ExLlamaV3 cannot quantize {source.name}: {words}. Choose another method.", detail=detail
        ) from None
