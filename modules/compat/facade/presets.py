"""modules.presets: sampling parameters by name."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from modules.compat.facade.base import FacadeModule
from modules.compat.facade.state import params_of
from modules.files.data_files import to_yaml
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import changed_values, describe

# Parts of SamplingParams that text-generation-webui keeps outside of its presets.
_OTHER = frozenset({"max_new_tokens", "seed", "stop", "custom_token_bans", "logit_bias", "truncate", "negative_prompt"})


class Presets(FacadeModule):
    """Paddock's presets, shipped and the user's own."""

    def default_preset(self) -> dict[str, Any]:
        """The neutral values."""
        return {name: value for name, value in asdict(SamplingParams()).items() if name not in _OTHER}

    def presets_params(self) -> list[str]:
        """The names of what a preset may hold."""
        return [entry.name for entry in describe(SamplingParams) if entry.name not in _OTHER]

    def load_preset(self, name: Any, verbose: bool = False) -> dict[str, Any]:
        """A preset's values over the neutral ones, which are "None" and "". Raises PaddockError for an unknown name."""
        if name in ("None", None, ""):
            return self.default_preset()
        values = asdict(self._app.presets.load(str(name)))
        return {key: values[key] for key in self.presets_params()}

    load_preset_memoized = load_preset

    def load_preset_for_ui(self, name: Any, state: dict[str, Any]) -> tuple[Any, ...]:
        """(the state with the preset in it, then each value in the order of `presets_params`)."""
        values = self.load_preset(name)
        state.update(values)
        return (state, *values.values())

    def generate_preset_yaml(self, state: dict[str, Any]) -> str:
        """What of a state differs from neutral, as YAML."""
        values = changed_values(params_of(state))
        return to_yaml({key: values[key] for key in values if key not in _OTHER})
