"""Load a model on some graphics cards only. CommonParams has no list of devices, but shares for each of them."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from loaders.xllamacpp.spec import Settings
from modules.protocol.errors import SettingError
from modules.worker.llama.devices import chosen_devices
from modules.worker.llama.model_notes import tensor_split_shares

if TYPE_CHECKING:
    from xllamacpp import CommonParams


def set_devices(xllamacpp: ModuleType, params: CommonParams, settings: Settings) -> None:
    """Set how the model is split over graphics cards. Raises SettingError."""
    mode, main, split = settings.split_mode, settings.main_gpu, tensor_split_shares(settings)
    listed = _usable(xllamacpp) if settings.devices.strip() else []
    if named := chosen_devices(settings, [device["name"] for device in listed]):
        places = [place for name in named for place, device in enumerate(listed) if device["name"] == name]
        if mode == "none" or len(places) == 1:
            # The others are then not used at all, not even for a list of shares.
            mode, main, split = "none", places[min(main, len(places) - 1)], []
        else:
            shares = split or [listed[place]["memory_free"] / 2**20 for place in places]
            given = dict(zip(places, shares, strict=False))
            split = [given.get(place, 0.0) for place in range(len(listed))]
        params.mmproj_device = named[0]
    params.split_mode = getattr(xllamacpp.llama_split_mode, f"LLAMA_SPLIT_MODE_{mode.upper()}")
    params.main_gpu = main
    known = len(params.tensor_split)
    if len(split) > known:
        raise SettingError(f"Tensor split (tensor_split) names {len(split)} cards; at most {known} are possible.")
    params.tensor_split = split + [0.0] * (known - len(split))


def _usable(xllamacpp: ModuleType) -> list[dict[str, Any]]:
    """Return the devices that llama.cpp uses by default, in its order (llama_prepare_model_devices of src/llama.cpp):
    each card once, and integrated graphics only without a card."""
    kinds = xllamacpp.ggml_backend_dev_type
    cards: dict[str, dict[str, Any]] = {}
    integrated = []
    for device in xllamacpp.get_device_info():
        if device["type"] == kinds.GGML_BACKEND_DEVICE_TYPE_GPU:
            cards.setdefault(device["device_id"] or device["name"], device)
        elif device["type"] == kinds.GGML_BACKEND_DEVICE_TYPE_IGPU:
            integrated.append(device)
    return list(cards.values()) or integrated
