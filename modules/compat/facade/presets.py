"""modules.presets: sampling parameters by name."""

from __future__ import annotations

from dataclasses import asdict

from modules.compat.facade.base import FacadeModule
from modules.compat.facade.state import State, params_of
from modules.files.data_files import to_yaml
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import changed_values, describe

# Fields of SamplingParams that are not part of text-generation-webui's presets.
_OTHER = frozenset({"max_new_tokens", "seed", "stop", "custom_token_bans", "logit_bias", "truncate", "negative_prompt"})


class Presets(FacadeModule):
    """Paddock's presets, shipped and the user's own."""

    def default_preset(self) -> dict[str, object]:
        """Return the neutral values."""
        return {name: value for name, value in asdict(SamplingParams()).items() if name not in _OTHER}

    def presets_params(self) -> list[str]:
        """Return the names of the parameters in a preset."""
        return [entry.name for entry in describe(SamplingParams) if entry.name not in _OTHER]

    def load_preset(self, name: object, verbose: bool = False) -> dict[str, object]:
        """Return a preset's values over neutral ones; for "None" and "", neutral ones. Raises PaddockError."""
        if name in ("None", None, ""):
            return self.default_preset()
        values = asdict(self._app.presets.load(str(name)))
        return {key: values[key] for key in self.presets_params()}

    load_preset_memoized = load_preset

    def load_preset_for_ui(self, name: object, state: State) -> tuple[object, ...]:
        """Return (the state with the preset, then each value in the order of `presets_params`)."""
        values = self.load_preset(name)
        state.update(values)
        return (state, *values.values())

    def generate_preset_yaml(self, state: State) -> str:
        """Return the values of a state that are not neutral, as YAML."""
        values = changed_values(params_of(state))
        return to_yaml({key: values[key] for key in values if key not in _OTHER})
