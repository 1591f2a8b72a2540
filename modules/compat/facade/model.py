"""shared.model: the loaded model, as far as it is accessible from outside of its process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

from modules.compat.facade.base import ModuleSource
from modules.compat.facade.state import State
from modules.files.data_files import read_json
from modules.plugins.request_model import hook_model
from modules.protocol.errors import PaddockError

# Loader -> the class that text-generation-webui has for it: scripts test its name. A loader that is missing here runs
# models of Transformers. Their class is the architecture.
_CLASSES = {
    "llamacpp": "LlamaServer",
    "xllamacpp": "LlamaServer",
    "remote": "LlamaServer",
    "echo": "LlamaServer",
    "exllamav2": "Exllamav2Model",
}


class Model:
    """Generates, and has the known properties of the model. Tensors stay in the worker."""

    def __init__(self, facade: ModuleSource) -> None:
        self._facade = facade

    def generate(self, prompt: str, state: State) -> str:
        """Return the whole reply."""
        *_, reply = self.generate_with_streaming(prompt, state)
        return str(reply)

    def generate_with_streaming(self, prompt: str, state: State) -> Iterator[str]:
        """Yield the reply so far, repeatedly."""
        text_generation = self._facade.module("modules.text_generation")
        yield from text_generation.generate_reply_HF(prompt, prompt, state)

    @property
    def config(self) -> SimpleNamespace:
        """The model's config.json. Raises AttributeError if there is none (a GGUF file)."""
        try:
            app = self._facade.app
            file = Path(app.library.facts(hook_model(app).state.model).path) / "config.json"
            return SimpleNamespace(**read_json(file))
        except (OSError, TypeError, PaddockError) as error:
            raise AttributeError("This model has no config.json") from error

    @property
    def device(self) -> str:
        """The device of the model, such as "cpu" or "cuda:0"."""
        return str(hook_model(self._facade.app).loaded().device)

    @property
    def dtype(self) -> str:
        """The name of the type of its weights."""
        return str(hook_model(self._facade.app).loaded().dtype)

    @property
    def tokens_evaluated(self) -> int:
        """The number of tokens of the last prompt; 0 before the first."""
        last = hook_model(self._facade.app).last_finished()
        return last.prompt_tokens if last else 0

    @property
    def tokens_predicted(self) -> int:
        """The number of tokens of the last reply; 0 before the first."""
        last = hook_model(self._facade.app).last_finished()
        return last.generated_tokens if last else 0

    @property
    def cache(self) -> SimpleNamespace:
        """ExLlamaV2's cache, with `current_seq_len`: the tokens of the last prompt and reply in it. Raises
        AttributeError with another loader."""
        if hook_model(self._facade.app).state.loader != "exllamav2":
            raise AttributeError("This loader's cache is not accessible: it is in the model's process")
        return SimpleNamespace(current_seq_len=self.tokens_evaluated + self.tokens_predicted)

    def __getattr__(self, name: str) -> object:
        raise AttributeError(
            f"shared.model.{name} is part of the model, which runs in another process; a hook that needs it "
            "must run there (logits_processor_modifier, tokenizer_modifier)"
        )


def model_of(facade: ModuleSource) -> Model | None:
    """Return the loaded model in a class named as in text-generation-webui; None if no model is loaded."""
    state = hook_model(facade.app).state
    if state.phase != "ready":
        return None
    architecture = state.info.architecture if state.info else ""
    kind: type[Model] = type(_CLASSES.get(state.loader, architecture or "PreTrainedModel"), (Model,), {})
    return kind(facade)
