"""The Transformers engine for GPTQ and AWQ folders, with GPTQModel's kernels."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from loaders.gptqmodel.environment import prepare_environment
from loaders.gptqmodel.spec import Settings
from modules.protocol.errors import SettingError
from modules.worker.engine import Report
from modules.worker.hf.load_options import device_placement, pick_dtype
from modules.worker.hf.model_files import has_consent, load_tokenizer, read_json, weight_files
from modules.worker.hf.packed_weights import check_packing
from modules.worker.hf.staged_folder import read_quantization, stage_folder, write_rope_scaling
from modules.worker.hf.transformers_engine import HfEngine

if TYPE_CHECKING:
    from gptqmodel import BACKEND
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_BITS = (2, 3, 4, 8)


class Engine(HfEngine):
    """Loads the causal language models that GPTQModel supports."""

    def load_model(
        self, path: Path, settings: Settings, report: Report
    ) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
        config = read_json(path / "config.json")
        claim = read_quantization(path, config)
        method = check_packing(path, weight_files(path), claim, ("gptq", "awq"), _BITS, "GPTQModel")
        report("Importing GPTQModel", None)
        where = _device(settings)
        dtype = pick_dtype(settings.dtype, settings.device_map)
        kernel = settings.kernel
        on_cpu = kernel == "auto" and method == "gptq" and where == {"device": "cpu"}
        if on_cpu and (claim.get("group_size") == -1 or claim.get("bits") != 4):
            # Its other kernels for CPUs need 4 bits and groups of at most 256; for larger groups they fail at the first
            # reply. This one does not support float32.
            import torch

            kernel, dtype = "torch", torch.bfloat16 if dtype == torch.float32 else dtype
        backend = _backend(kernel, method)
        tokenizer = load_tokenizer(path)
        trusted = has_consent("PADDOCK_TRUST_REMOTE_CODE")
        config["quantization_config"] = claim
        with stage_folder(path, config) as stage:
            write_rope_scaling(stage, settings, trusted)
            from gptqmodel import GPTQModel

            compiled = Path(os.environ["GPTQMODEL_TORCH_EXTENSIONS_DIR"])
            there = compiled.is_dir() and any(
                entry.is_dir() and entry.name != "inductor" for entry in compiled.iterdir()
            )
            first = "" if there else "; the first time a kernel is compiled, which takes minutes"
            report(f"Loading the quantized weights{first}", None)
            with _one_compiles(compiled):
                loaded = GPTQModel.load(
                    str(stage),
                    backend=backend,
                    trust_remote_code=trusted,
                    dtype=dtype,
                    **({} if settings.attention == "auto" else {"attn_implementation": settings.attention}),
                    **where,
                )
        return loaded.model, tokenizer


@contextmanager
def _one_compiles(folder: Path) -> Iterator[None]:
    """Let one worker at a time compile.

    torch marks a running compile with a file named lock and waits until it is removed. A killed worker leaves the
    file, and torch would wait forever.
    """
    from filelock import FileLock

    # Inside the folder, since a sandboxed worker may not write beside it.
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "paddock.lock"):
        for left in folder.rglob("lock"):
            left.unlink()
        yield


def _backend(kernel: str, method: str) -> BACKEND:
    """Return GPTQModel's name of a kernel for GPTQ or AWQ. Raises SettingError if there is none."""
    prepare_environment()
    from gptqmodel import BACKEND

    known = {item.value for item in BACKEND}
    name = kernel if kernel == "auto" else f"{method}_{kernel}"
    if name not in known:
        for_it = sorted(item.removeprefix(f"{method}_") for item in known if item.startswith(f"{method}_"))
        raise SettingError(
            f"There is no kernel {kernel} for {method.upper()}. Set Kernel to auto, or to one of: {', '.join(for_it)}."
        )
    return BACKEND(name)


def _device(settings: Settings) -> dict[str, object]:
    if settings.gpu_memory or settings.cpu_memory or settings.disk_offload:
        raise SettingError(
            "GPTQModel deals layers to GPUs by itself, without limits. Empty the memory limits and Offload to disk."
        )
    place = device_placement(settings, "")["device_map"]
    if place == {"": "cpu"}:
        return {"device": "cpu"}
    return {"device_map": "balanced"} if settings.device_map == "balanced" else {"device": "cuda:0"}
