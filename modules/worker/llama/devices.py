"""Which graphics cards a model is loaded on, by llama.cpp's names for them."""

from __future__ import annotations

from collections.abc import Sequence

from modules.families.llama_cpp import LlamaCppSettings, device_names
from modules.protocol.errors import SettingError


def chosen_devices(settings: LlamaCppSettings, found: Sequence[str]) -> list[str]:
    """Return the devices that the settings name, in that order; [] for all. Raises SettingError for one that is not
    among `found`, those that llama.cpp lists."""
    known = {name.lower(): name for name in found}
    wanted = list(dict.fromkeys(name.lower() for name in device_names(settings)))
    if unknown := [name for name in device_names(settings) if name.lower() not in known]:
        here = f"the devices here are {', '.join(found)}" if found else "llama.cpp finds no graphics card here"
        raise SettingError(
            f"Devices (devices) cannot be {', '.join(unknown)[:200]}: {here}. Correct it, or empty it for all devices."
        )
    return [known[name] for name in wanted]
