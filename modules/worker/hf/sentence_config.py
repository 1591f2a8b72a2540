"""How sentence-transformers' files say that a model turns a text into a vector.

modules.json lists the steps: the transformer, pooling, and where a model has them, dense layers and normalisation.
Source: https://sbert.net, "Creating Custom Models".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.protocol.errors import ModelError
from modules.worker.hf.model_files import read_json

_AGAIN = "Download the model again."
# Keys of 1_Pooling/config.json -> the name of the mode.
_MODES = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
MODES = tuple(_MODES.values())


@dataclass(frozen=True)
class SentenceConfig:
    """`pooling`: modes of MODES, whose vectors are put one after another. `dense`: folders of dense layers. `length`:
    the most tokens of a text, 0 if the files do not say. `prompt`: text before each text. `found`: False if there are
    no such files, so that the mean is taken."""

    pooling: tuple[str, ...] = ("mean",)
    dense: tuple[Path, ...] = ()
    length: int = 0
    prompt: str = ""
    found: bool = False


def read_sentence_config(folder: Path) -> SentenceConfig:
    """Return what the files in a model's folder say. Raises ModelError for a step or a mode that is not known here."""
    pooling: tuple[str, ...] = ()
    dense = []
    for kind, place in _steps(folder):
        if kind == "Pooling":
            pooling = _pooling(place)
        elif kind == "Dense":
            dense.append(place)
        # All vectors are scaled to length 1 later.
        elif kind not in ("Transformer", "Normalize"):
            raise ModelError(
                f"The embedding model {folder.name} has a step {kind!r}, which Paddock does not know. Choose another "
                "embedding model."
            )
    about, prompts = (
        read_json(folder / name) if (folder / name).is_file() else {}
        for name in ("sentence_bert_config.json", "config_sentence_transformers.json")
    )
    length = about.get("max_seq_length")
    named = prompts.get("prompts")
    prompt = named.get(prompts.get("default_prompt_name")) if isinstance(named, dict) else None
    return SentenceConfig(
        pooling or ("mean",),
        tuple(dense),
        length if isinstance(length, int) and length > 0 else 0,
        prompt if isinstance(prompt, str) else "",
        bool(pooling),
    )


def _steps(folder: Path) -> list[tuple[str, Path]]:
    """Return the steps of modules.json, as (the class's last name, its folder). Without the file: the pooling folder,
    if there is one."""
    file = folder / "modules.json"
    if not file.is_file():
        alone = folder / "1_Pooling"
        return [("Pooling", alone)] if (alone / "config.json").is_file() else []
    try:
        steps: Any = json.loads(file.read_text(encoding="utf-8"))
        return [(str(step["type"]).rpartition(".")[2], _below(folder, str(step.get("path") or ""))) for step in steps]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"modules.json of {folder.name} cannot be read ({error!r}). {_AGAIN}") from None


def _below(folder: Path, path: str) -> Path:
    """Return the folder of a step. Raises ValueError if it is not inside the model's folder."""
    place = folder / path
    if not place.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{path[:100]} is outside of the folder")
    return place


def _pooling(place: Path) -> tuple[str, ...]:
    config = read_json(place / "config.json")
    # Newer files name the modes; older ones have a switch for each.
    named = config.get("pooling_mode")
    modes = [named] if isinstance(named, str) else named
    if not isinstance(modes, list):
        modes = [mode for key, mode in _MODES.items() if config.get(key) is True]
    if unknown := [mode for mode in modes if mode not in MODES]:
        raise ModelError(
            f"The embedding model pools by {unknown[0]!r}, which Paddock does not know. Choose another embedding model."
        )
    return tuple(modes)
