"""Converts a loader's settings to arguments of Transformers' from_pretrained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from modules.families.transformers_settings import TransformersSettings
from modules.protocol.errors import SettingError
from modules.worker.engine import Report

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig


def pick_dtype(name: str, device_map: str) -> torch.dtype | str:
    """Return the torch dtype for "auto", "bfloat16", "float16" or "float32"."""
    import torch

    if name != "auto":
        return getattr(torch, name)
    if device_map != "cpu" and torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    return torch.bfloat16 if cpu_has_bfloat16() else torch.float32


def cpu_has_bfloat16() -> bool:
    """Return True if this CPU computes bfloat16 in hardware (AVX512-BF16 or AMX). Otherwise float32 is faster."""
    import torch

    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in checks)


def device_placement(settings: TransformersSettings, offload_folder: str) -> dict[str, object]:
    """Return device_map, max_memory and offload_folder. Raises SettingError for a missing device."""
    import torch

    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if settings.device_map == "cpu" or (settings.device_map != "cuda" and not gpus):
        return {"device_map": {"": "cpu"}}
    if settings.device_map == "cuda":
        if not gpus:
            raise SettingError("Device is cuda, and this machine has no CUDA GPU that torch can use. Set it to auto.")
        return {"device_map": {"": 0}}
    options: dict[str, object] = {"device_map": settings.device_map}
    limits = _limits(settings, gpus)
    if limits:
        options["max_memory"] = limits
    if settings.disk_offload:
        options["offload_folder"] = offload_folder
    return options


def _limits(settings: TransformersSettings, gpus: int) -> dict[int | str, int]:
    try:
        each = [float(part) for part in settings.gpu_memory.split(",") if part.strip()]
    except ValueError:
        raise SettingError(
            f"GPU memory limits cannot be {settings.gpu_memory!r}. Write GiB for each GPU, such as 20, 22."
        ) from None
    if not each and not settings.cpu_memory:
        return {}
    import psutil
    import torch

    limits: dict[int | str, int] = {}
    for gpu in range(gpus):
        limits[gpu] = int(each[gpu] * 2**30) if gpu < len(each) else torch.cuda.mem_get_info(gpu)[0]
    limits["cpu"] = int(settings.cpu_memory * 2**30) if settings.cpu_memory else psutil.virtual_memory().available
    return limits


def with_rope(config: PretrainedConfig, settings: TransformersSettings) -> PretrainedConfig:
    """Return the config with the settings' RoPE scaling, in the names of Transformers 5 or 4. Raises SettingError if
    the model has no plain RoPE."""
    if settings.rope_scaling == "model" and not settings.rope_base:
        return config
    text = config.get_text_config()
    new = hasattr(text, "rope_parameters")
    now = getattr(text, "rope_parameters" if new else "rope_scaling", None) or {}
    base = getattr(text, "rope_theta", None) or now.get("rope_theta")
    if base is None or any(isinstance(value, dict) for value in now.values()):
        raise SettingError("This model's positions cannot be rescaled. Set RoPE scaling to model and RoPE base to 0.")
    base = settings.rope_base or base
    scaling = dict(now)
    if settings.rope_scaling != "model":
        scaling = {"rope_type": settings.rope_scaling, "factor": settings.rope_factor}
        if settings.rope_scaling == "yarn":
            scaling["original_max_position_embeddings"] = text.max_position_embeddings
    if new:
        text.rope_parameters = {**scaling, "rope_theta": base}
    else:
        text.rope_scaling, text.rope_theta = scaling or None, base
    return config


def context_limits(config: PretrainedConfig, settings: TransformersSettings) -> tuple[int, int, list[str]]:
    """Return (the context length, the trained one or 0, notes for the user)."""
    trained = int(getattr(config.get_text_config(), "max_position_embeddings", 0) or 0)
    stretch = 1.0 if settings.rope_scaling == "model" else settings.rope_factor
    most = int(trained * stretch)
    if not trained or settings.context <= trained:
        return settings.context, trained, []
    if settings.context > most and settings.context == type(settings).context and stretch == 1:
        return most, trained, []  # The setting has its default, which means the model's own context.
    if settings.context > most:
        note = f"The model was trained for {trained:,} tokens"
        note += f", stretched to {most:,}" if most > trained else ""
        return most, trained, [f"{note}, so that is the context. RoPE scaling can stretch it further."]
    note = (
        f"The context of {settings.context:,} tokens is stretched beyond the trained {trained:,}: expect lower quality."
    )
    return settings.context, trained, [note]


@contextmanager
def report_progress(report: Report, words: str) -> Iterator[None]:
    """Report the progress of Transformers' progress bars, which are not drawn."""
    from transformers.utils import logging

    set_hook: Callable[[object], object] | None = getattr(logging, "set_tqdm_hook", None)
    if set_hook is None:
        logging.disable_progress_bar()
        yield
        return
    before = set_hook(lambda factory, args, kwargs: _Bar(report, words, *args, **kwargs))
    try:
        yield
    finally:
        set_hook(before)


class _Bar:
    """The part of tqdm that Transformers uses while loading."""

    def __init__(
        self,
        report: Report,
        words: str,
        items: Any = None,
        *_: object,
        total: int | None = None,
        **__: object,
    ) -> None:
        self._report, self._words, self._items = report, words, items
        self._total = total if total is not None else len(items) if hasattr(items, "__len__") else 0
        self._done = self._reported = 0

    def __iter__(self) -> Iterator[object]:
        for item in self._items:
            yield item
            self.update()

    def update(self, count: int = 1) -> None:
        self._done += count
        if self._total and (self._done - self._reported) * 50 >= self._total:
            self._reported = self._done
            self._report(self._words, min(1.0, self._done / self._total))

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_, **__: None

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None: ...
