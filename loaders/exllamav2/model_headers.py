"""Read a model's configuration and tokenizer with ExLlamaV2, before its weights."""

from __future__ import annotations

import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.protocol.errors import ModelError
from modules.worker.hf.model_files import read_json
from modules.worker.hf.staged_folder import convert_to_transformers_4, stage_folder

if TYPE_CHECKING:
    from exllamav2 import ExLlamaV2Config, ExLlamaV2Tokenizer


def read_config(exl: Any, path: Path, stages: ExitStack) -> ExLlamaV2Config:
    """Return the configuration of the model at `path`. Raises ModelError.

    Its files are read through a staged folder, which exists until `stages` is closed.
    """
    config = exl.ExLlamaV2Config()
    # It knows RoPE only by the names of Transformers 4, and would silently use a base of 10,000.
    config.model_dir = str(
        stages.enter_context(stage_folder(path, convert_to_transformers_4(read_json(path / "config.json"))))
    )
    try:
        config.prepare()
    except (AssertionError, ValueError, KeyError, TypeError, OSError) as error:
        raise ModelError(
            f"ExLlamaV2 cannot read {path.name}: {error or type(error).__name__}. Try another loader, or download "
            "the model again.",
            detail=traceback.format_exc(),
        ) from None
    return config


def read_tokenizer(exl: Any, config: ExLlamaV2Config, path: Path) -> ExLlamaV2Tokenizer:
    """Return ExLlamaV2's tokenizer of the model. Raises ModelError."""
    try:
        return exl.ExLlamaV2Tokenizer(config)
    except Exception as error:
        raise ModelError(
            f"ExLlamaV2 cannot read the tokenizer of {path.name}. It needs tokenizer.json. Copy that file "
            f"from the model's source, or choose another loader. ({str(error).strip() or type(error).__name__})",
            detail=traceback.format_exc(),
        ) from None
