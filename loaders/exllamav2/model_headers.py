"""What ExLlamaV2 reads of a model's folder before its weights."""

from __future__ import annotations

import traceback
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from modules.protocol.errors import ModelError
from modules.worker.hf.model_files import read_json
from modules.worker.hf.staged_folder import convert_to_transformers_4, stage_folder


def read_config(exl: Any, path: Path, stages: ExitStack) -> Any:
    """The configuration of the model at `path`, whose files are read by way of a folder that lasts as `stages`.
    Raises ModelError."""
    config = exl.ExLlamaV2Config()
    # It knows the positions by the names that Transformers 4 wrote, and would take RoPE's base for 10,000 silently.
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


def read_tokenizer(exl: Any, config: Any, path: Path) -> Any:
    """ExLlamaV2's own tokenizer of that model. Raises ModelError."""
    try:
        return exl.ExLlamaV2Tokenizer(config)
    except Exception as error:
        raise ModelError(
            f"ExLlamaV2 cannot read the tokenizer of {path.name}; it takes tokenizer.json alone. Copy that file "
            f"from the model's source, or choose another loader. ({str(error).strip() or type(error).__name__})",
            detail=traceback.format_exc(),
        ) from None
