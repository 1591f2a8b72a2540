"""modules.models_settings: the properties of a model, and its saved settings."""

from __future__ import annotations

from modules.compat.facade.base import FacadeModule
from modules.compat.facade.state import State
from modules.plugins.request_model import hook_model


class ModelsSettings(FacadeModule):
    """Settings of a load belong to Paddock's loaders; see the Model tab."""

    def get_model_metadata(self, model: str) -> dict[str, object]:
        """Return the model's saved settings, with the loader, the context and the template of its files. Raises
        PaddockError if there is no such model."""
        facts = self._app.library.facts(model)
        spec, kept = self._app.loaders.choose(model)
        known = {"loader": spec.name, "truncation_length": facts.context, "ctx_size": facts.context}
        return {**known, "instruction_template_str": facts.template, **kept}

    def update_model_parameters(self, state: State, initial: bool = False) -> None:
        """Copy loading flags from a state to shared.args, which Paddock does not read when it loads a model."""
        args = self._facade.module("modules.shared").args
        for name, value in state.items():
            if name in vars(args):
                setattr(args, name, value)

    def apply_model_settings_to_state(self, model: str, state: State) -> dict[str, object]:
        """Return the state with the properties of the model."""
        state.update({name: value for name, value in self.get_model_metadata(model).items() if name in state})
        return state

    def infer_loader(self, model_name: str, model_settings: object = None, hf_quant_method: object = None) -> str:
        """Return the loader that Paddock would choose. Raises PaddockError if none reads the model."""
        return str(self._app.loaders.choose(model_name)[0].name)

    def load_instruction_template(self, template: str) -> str:
        """Return the loaded model's own template for any name: Paddock has no list of templates."""
        info = hook_model(self._app).state.info
        return info.template if info else ""
