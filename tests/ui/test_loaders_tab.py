"""The list of loaders on the Model tab says which variant is used and why, and offers others where there are any."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from modules.app import App
from modules.protocol.errors import SettingError
from modules.protocol.model_facts import Gpu
from modules.ui.tabs import loaders_tab

CARD = Gpu("cuda", "RTX 4090", 24 << 30, 20 << 30, "8.9", "570.86.10", "12.8")


def _with(app: App, *cards: Gpu) -> None:
    app.machine = app.environments.machine = dataclasses.replace(app.machine, gpus=cards, glibc="2.39", vulkan=True)


def _row(app: App, name: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    words, variant, button = loaders_tab._row(app, app.registry.get(name))
    assert isinstance(words, str) and isinstance(variant, dict) and isinstance(button, dict)
    return words, variant, button


def test_without_a_card_there_is_no_choice(app: App) -> None:
    _with(app)
    words, variant, _ = _row(app, "xllamacpp")
    assert "Variant:" not in words
    assert not variant["visible"]


def test_with_a_card_the_variant_is_explained_and_another_can_be_chosen(app: App) -> None:
    _with(app, CARD)
    words, variant, button = _row(app, "xllamacpp")
    assert "Variant: CUDA 12.8. The best that this machine supports. CUDA 13.2: NVIDIA&#x27;s driver 570.86.10" in words
    assert (variant["visible"], variant["value"]) == (True, "auto")
    assert button["visible"]
    spec = app.registry.get("xllamacpp")
    shown = loaders_tab._choose(app, spec, "vulkan")
    assert "Variant: Vulkan. You chose this variant." in str(shown[0])
    assert app.environments.choice(spec).state.variant.name == "vulkan"
    loaders_tab._choose(app, spec, "auto")
    assert app.variants.items() == {}
    with pytest.raises(SettingError, match="no variant 'opencl'"):
        loaders_tab._choose(app, spec, "opencl")


def test_each_variant_is_on_offer_by_its_title(app: App) -> None:
    assert loaders_tab._choices(app, app.registry.get("xllamacpp")) == [
        *(("Automatic", "auto"), ("CUDA 13.2", "cuda13"), ("CUDA 12.8", "cuda12"), ("ROCm 7", "rocm7")),
        *(("ROCm 6", "rocm6"), ("Vulkan", "vulkan"), ("CPU", "cpu")),
    ]
    assert loaders_tab._choices(app, app.registry.get("remote")) == [("Automatic", "auto")]
