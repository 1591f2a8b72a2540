"""shared.model: the loaded model, as far as it can be seen from another process than its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from modules.compat.facade.base import ModuleSource
from modules.files.data_files import read_json
from modules.protocol.errors import PaddockError

# Loader -> the class that text-generation-webui has for it, as scripts branch on its name. A loader that is not here
# runs models of Transformers, whose class is their architecture.
_CLASSES = {
    "llamacpp": "LlamaServer",
    "xllamacpp": "LlamaServer",
    "remote": "LlamaServer",
    "echo": "LlamaServer",
    "exllamav2": "Exllamav2Model",
}


class Model:
    """Generates, and tells what is known of the model. Everything that is made of tensors stays in the worker."""

    def __init__(self, facade: ModuleSource) -> None:
        self._facade = facade

    def generate(self, prompt: str, state: dict[str, Any]) -> str:
        """The whole reply."""
        *_, reply = self.generate_with_streaming(prompt, state)
        return str(reply)

    def generate_with_streaming(self, prompt: str, state: dict[str, Any]) -> Iterator[str]:
        """The reply so far, again and again."""
        text_generation: Any = self._facade.module("modules.text_generation")
        yield from text_generation.generate_reply_HF(prompt, prompt, state)

    @property
    def config(self) -> SimpleNamespace:
        """The model's config.json. Raises AttributeError where it has none (a GGUF file)."""
        try:
            app = self._facade.app
            file = Path(app.library.facts(app.supervisor.state.model).path) / "config.json"
            return SimpleNamespace(**read_json(file))
        except (OSError, TypeError, PaddockError) as error:
            raise AttributeError("This model has no config.json") from error

    @property
    def device(self) -> str:
        """Where the model computes, such as "cpu" or "cuda:0"."""
        return self._facade.app.supervisor.loaded().device

    @property
    def dtype(self) -> str:
        """The type of its weights, by name."""
        return self._facade.app.supervisor.loaded().dtype

    @property
    def tokens_evaluated(self) -> int:
        """Tokens of the last prompt, 0 before the first."""
        last = self._facade.app.supervisor.last_finished()
        return last.prompt_tokens if last else 0

    @property
    def tokens_predicted(self) -> int:
        """Tokens of the last reply, 0 before the first."""
        last = self._facade.app.supervisor.last_finished()
        return last.generated_tokens if last else 0

    @property
    def cache(self) -> SimpleNamespace:
        """Of ExLlamaV2's cache, `current_seq_len`: how many tokens it holds of the last prompt and reply. Raises
        AttributeError with another loader."""
        if self._facade.app.supervisor.state.loader != "exllamav2":
            raise AttributeError("This loader's cache cannot be seen from here: it is inside of the model's process")
        return SimpleNamespace(current_seq_len=self.tokens_evaluated + self.tokens_predicted)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"shared.model.{name} is inside of the model, which runs in a process of its own; a hook that needs it "
            "must run there (logits_processor_modifier, tokenizer_modifier)"
        )


def model_of(facade: ModuleSource) -> Model | None:
    """The model that is loaded now, in a class that is named as text-generation-webui's; None without one."""
    state = facade.app.supervisor.state
    if state.phase != "ready":
        return None
    architecture = state.info.architecture if state.info else ""
    kind: type[Model] = type(_CLASSES.get(state.loader, architecture or "PreTrainedModel"), (Model,), {})
    return kind(facade)
