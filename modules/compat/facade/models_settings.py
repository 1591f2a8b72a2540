"""modules.models_settings: what is known of a model, and what is kept for it."""

from __future__ import annotations

from typing import Any

from modules.compat.facade.base import FacadeModule


class ModelsSettings(FacadeModule):
    """Settings of a load belong to Paddock's loaders; see the Model tab."""

    def get_model_metadata(self, model: str) -> dict[str, Any]:
        """What is kept for the model, with the loader, the context and the template that its files name. Raises
        PaddockError where there is no such model."""
        facts = self._app.library.facts(model)
        spec, kept = self._app.loaders.choose(model)
        known = {"loader": spec.name, "truncation_length": facts.context, "ctx_size": facts.context}
        return {**known, "instruction_template_str": facts.template, **kept}

    def update_model_parameters(self, state: dict[str, Any], initial: bool = False) -> None:
        """Take the flags of a load from a state: they are kept in shared.args, which Paddock's loads do not read."""
        args: Any = self._facade.module("modules.shared").args
        for name, value in state.items():
            if name in vars(args):
                setattr(args, name, value)

    def apply_model_settings_to_state(self, model: str, state: dict[str, Any]) -> dict[str, Any]:
        """The state, with what is known of the model."""
        state.update({name: value for name, value in self.get_model_metadata(model).items() if name in state})
        return state

    def infer_loader(self, model_name: str, model_settings: Any = None, hf_quant_method: Any = None) -> str:
        """The loader that Paddock would take. Raises PaddockError where none reads the model."""
        return str(self._app.loaders.choose(model_name)[0].name)

    def load_instruction_template(self, template: str) -> str:
        """The loaded model's own template, whatever name is asked for: Paddock keeps no list of them."""
        info = self._app.supervisor.state.info
        return info.template if info else ""
