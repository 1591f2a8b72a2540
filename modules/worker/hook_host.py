"""What an extension's code in the worker can ask for: the model that is loaded, and values shared with the host."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol

from modules.protocol.events import ModelInfo
from modules.system.shared_values import SharedValues
from modules.worker.import_stubs import Stub
from modules.worker.text_tokenizer import TextTokenizer


class TokenizingEngine(Protocol):
    """What hooks need of an engine (`modules.worker.engine.EngineBase`)."""

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Return the token ids of `text`."""

    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of these tokens."""

    def transformers_parts(self) -> tuple[Any, Any] | None:
        """Return (model, tokenizer) of Transformers, where this engine has them."""


class HookModel:
    """The model of this worker, as hooks see it. `info`: None before it is loaded."""

    def __init__(self, engine: TokenizingEngine, info: Callable[[], ModelInfo | None]) -> None:
        self._engine = engine
        self._info = info
        self._tokenizer: Any = None

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer: Transformers' own where the engine has one, else one with the same methods. None before a
        model is loaded."""
        info = self._info()
        if self._tokenizer is None and info is not None:
            own = self._engine.transformers_parts()
            self._tokenizer = own[1] if own else _EngineTokenizer(self._engine, info)
        return self._tokenizer

    @property
    def model(self) -> Any:
        """Transformers' model, where the engine has one; else None."""
        own = self._engine.transformers_parts() if self._info() else None
        return own[0] if own else None


class WorkerHost:
    """One extension's door to the worker. `name`: the extension's; `store`: values by name that its code in the host
    sees as `host.store` too."""

    def __init__(self, name: str, loaded: HookModel, store: SharedValues) -> None:
        self.name = name
        self.store = store
        self._loaded = loaded

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, with the methods of Transformers' tokenizers."""
        return self._loaded.tokenizer

    @property
    def model(self) -> Any:
        """Transformers' model, where the loader has one; else None."""
        return self._loaded.model


class _EngineTokenizer(TextTokenizer):
    """The engine's own tokenizer."""

    def __init__(self, engine: TokenizingEngine, info: ModelInfo) -> None:
        self._engine = engine
        self._info = info

    def ids_of(self, text: str, special: bool) -> list[int]:
        """Asked of the engine."""
        return self._engine.tokenize(text, special)

    def text_of(self, ids: list[int]) -> str:
        """Asked of the engine."""
        return self._engine.detokenize(ids)

    @property
    def bos_token(self) -> str:
        """The text of the first token, "" where the model has none."""
        return self._info.bos

    @property
    def eos_token(self) -> str:
        """The text of the last token, "" where the model has none."""
        return self._info.eos


def script_modules(loaded: HookModel) -> dict[str, ModuleType]:
    """The modules of text-generation-webui that a script.py finds in the worker with something behind them; of all
    others, and of all other names in these, there are inert stand-ins."""
    return {
        "modules": Stub("modules"),
        "modules.shared": _Shared(loaded),
        "modules.text_generation": _TextGeneration(loaded),
        "modules.logging_colors": _Logging("modules.logging_colors"),
    }


class _Shared(Stub):
    def __init__(self, loaded: HookModel) -> None:
        super().__init__("modules.shared")
        self._loaded = loaded

    @property
    def tokenizer(self) -> Any:
        """The real one."""
        return self._loaded.tokenizer

    @property
    def model(self) -> Any:
        """Transformers' model, inert with another engine."""
        model = self._loaded.model
        return Stub("modules.shared.model") if model is None else model


class _TextGeneration(Stub):
    def __init__(self, loaded: HookModel) -> None:
        super().__init__("modules.text_generation")
        self._loaded = loaded

    def encode(self, prompt: Any, add_special_tokens: bool = True, add_bos_token: bool = True, **rest: Any) -> Any:
        """Token ids as an array [1, tokens]: of the kind that this engine's hooks get."""
        kind = "np" if self._loaded.model is None else "pt"
        special = add_special_tokens and add_bos_token
        return self._loaded.tokenizer.encode(str(prompt), add_special_tokens=special, return_tensors=kind)

    def decode(self, output_ids: Any, skip_special_tokens: bool = True) -> str:
        """The text of token ids."""
        return str(self._loaded.tokenizer.decode(output_ids, skip_special_tokens=skip_special_tokens))

    def get_encoded_length(self, prompt: Any) -> int:
        """How many tokens a prompt has."""
        return len(self._loaded.tokenizer.encode(str(prompt)))


class _Logging(Stub):
    """A logger whose lines are kept with what the script prints."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.logger = logging.Logger("text-generation-webui", logging.INFO)
        self.logger.addHandler(_Handler())


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print it to what stderr is now."""
        sys.stderr.write(f"{record.levelname:<8} {record.getMessage()}\n")
