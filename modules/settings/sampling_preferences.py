"""The sampling parameters set on the page, and the preset that they come from."""

from __future__ import annotations

from modules.generation.preset_keys import RETIRED
from modules.generation.presets import DEFAULT_PRESET, Presets
from modules.protocol import schema
from modules.protocol.sampling import SamplingParams
from modules.protocol.sampling_texts import TEXT_PARSERS
from modules.settings.preferences import Preferences

# The preset in which every parameter is off.
NEUTRAL = "Neutral"


class SamplingPreferences:
    """Reads the settings at each call, because their file may be edited by hand."""

    def __init__(self, settings: Preferences, presets: Presets) -> None:
        self._settings = settings
        self._presets = presets

    def preset_name(self) -> str:
        """Return the name of the preset chosen last."""
        first = DEFAULT_PRESET if DEFAULT_PRESET in self._presets.names() else NEUTRAL
        return str(self._settings.get("preset", first))

    def preset(self, name: str) -> SamplingParams:
        """Return the parameters of a preset. Raise PaddockError if there is no such preset."""
        return SamplingParams() if name == NEUTRAL else self._presets.load(name)

    def choose_preset(self, name: str) -> None:
        """Set all parameters to the preset's."""
        self._settings.update({"sampling": schema.changed_values(self.preset(name)), "preset": name})

    def params(self) -> SamplingParams:
        """Return the parameters set on the page. Raise SettingError if the file contains a wrong value."""
        saved = self._settings.get("sampling")
        if saved is None:
            return self.preset(self.preset_name())
        # Settings of an earlier version may hold a parameter that no engine supports any more.
        return schema.build(SamplingParams, {name: value for name, value in saved.items() if name not in RETIRED})

    def set(self, name: str, value: object) -> None:
        """Check one parameter and save it. The others do not change.

        Raises SettingError, also for a text that cannot be parsed, such as a wrong logit bias.
        """
        params = schema.build(SamplingParams, schema.changed_values(self.params()) | {name: value})
        if read := TEXT_PARSERS.get(name):
            read(params)
        self._settings.set("sampling", schema.changed_values(params))
