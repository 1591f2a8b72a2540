"""What an extension's code in the worker can use: the loaded model, and values shared with the host."""

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
    """The methods of an engine that hooks need (`modules.worker.engine.EngineBase`)."""

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Return the token ids of `text`."""

    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of these tokens."""

    def transformers_parts(self) -> tuple[object, object] | None:
        """Return (model, tokenizer) of Transformers, where this engine has them."""


class HookModel:
    """The worker's model, for hooks. `info` returns None before the model is loaded."""

    def __init__(self, engine: TokenizingEngine, info: Callable[[], ModelInfo | None]) -> None:
        self._engine = engine
        self._info = info
        self._tokenizer: object = None

    @property
    def tokenizer(self) -> Any:
        """Transformers' tokenizer if the engine has it, else one with the same methods. None before the model is
        loaded."""
        info = self._info()
        if self._tokenizer is None and info is not None:
            own = self._engine.transformers_parts()
            self._tokenizer = own[1] if own else _EngineTokenizer(self._engine, info)
        return self._tokenizer

    @property
    def model(self) -> object:
        """Transformers' model if the engine has one, else None."""
        own = self._engine.transformers_parts() if self._info() else None
        return own[0] if own else None


class WorkerHost:
    """The object `host` of one extension in the worker. `name`: the extension's; `store`: values that its code in the
    host sees as `host.store` too."""

    def __init__(self, name: str, loaded: HookModel, store: SharedValues) -> None:
        self.name = name
        self.store = store
        self._loaded = loaded

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, with the methods of Transformers' tokenizers."""
        return self._loaded.tokenizer

    @property
    def model(self) -> object:
        """Transformers' model if the loader has one, else None."""
        return self._loaded.model


class _EngineTokenizer(TextTokenizer):
    """The engine's tokenizer with the methods of Transformers'."""

    def __init__(self, engine: TokenizingEngine, info: ModelInfo) -> None:
        self._engine = engine
        self._info = info

    def ids_of(self, text: str, special: bool) -> list[int]:
        """Return the token ids of `text`."""
        return self._engine.tokenize(text, special)

    def text_of(self, ids: list[int]) -> str:
        """Return the text of these tokens."""
        return self._engine.detokenize(ids)

    @property
    def bos_token(self) -> str:
        """The text of the BOS token, or ""."""
        return self._info.bos

    @property
    def eos_token(self) -> str:
        """The text of the EOS token, or ""."""
        return self._info.eos


def script_modules(loaded: HookModel) -> dict[str, ModuleType]:
    """Return the modules of text-generation-webui that work for a script.py in the worker. All other modules, and other
    names in these, are stubs."""
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
        """The model's tokenizer."""
        return self._loaded.tokenizer

    @property
    def model(self) -> object:
        """Transformers' model, or a stub with another engine."""
        model = self._loaded.model
        return Stub("modules.shared.model") if model is None else model


class _TextGeneration(Stub):
    def __init__(self, loaded: HookModel) -> None:
        super().__init__("modules.text_generation")
        self._loaded = loaded

    def encode(
        self, prompt: object, add_special_tokens: bool = True, add_bos_token: bool = True, **rest: object
    ) -> Any:
        """Return token ids [1, tokens], as the kind of array that this engine's hooks get."""
        kind = "np" if self._loaded.model is None else "pt"
        special = add_special_tokens and add_bos_token
        return self._loaded.tokenizer.encode(str(prompt), add_special_tokens=special, return_tensors=kind)

    def decode(self, output_ids: object, skip_special_tokens: bool = True) -> str:
        """Return the text of token ids."""
        return str(self._loaded.tokenizer.decode(output_ids, skip_special_tokens=skip_special_tokens))

    def get_encoded_length(self, prompt: object) -> int:
        """Return the number of tokens of a prompt."""
        return len(self._loaded.tokenizer.encode(str(prompt)))


class _Logging(Stub):
    """A logger whose lines are collected with the script's output."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.logger = logging.Logger("text-generation-webui", logging.INFO)
        self.logger.addHandler(_Handler())


class _Handler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print the record to the current stderr."""
        sys.stderr.write(f"{record.levelname:<8} {record.getMessage()}\n")
