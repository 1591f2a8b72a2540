"""How long a method that looks at what flows through a model will take, from runs on its first layer.

The time of a layer is a constant part, such as the rounding, and a part for each token. A run with few samples and one
with more tell them apart. A run before them, with few samples, imports the engine and compiles what it compiles.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modules.families.calibration import CalibrationSettings
from modules.worker.hf.model_files import read_json
from modules.worker.hf.quantized_folder import calibration_tokens
from modules.worker.hf.staged_folder import stage_folder
from modules.worker.quantizer import Trial

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Rows = list[list[int]]
# Number of layers in config.json, as most models and as GPT-2 name it, and a list with an entry for each layer.
_LAYERS, _OF_EACH = ("num_hidden_layers", "n_layer"), "layer_types"
# Tokens of the run with few samples, and how many times as many the other one has.
_FEW_TOKENS, _TIMES = 512, 4
# A first run that took so long needs no second one: what it compiled does not count much.
_LONG_SECONDS = 5.0
# Names of the first layer's weights, such as model.layers.0.mlp.up_proj.weight.
_FIRST = re.compile(r"(?:^|\.)0\.")
# Token ids of a text that is not here yet.
_ANY_TOKENS = 256


@dataclass(frozen=True)
class LayerRun:
    """What quantizing a model with one layer took. `layer_bytes`: of the layer as it was loaded."""

    seconds: float
    layer_bytes: int


def trial_rows(
    calibration: Sequence[Mapping[str, object]],
    source: Path,
    tokenizer: PreTrainedTokenizerBase,
    settings: CalibrationSettings,
) -> Rows:
    """Return the token ids of the job's samples; of a text that is not here yet, as many as the settings ask for."""
    if calibration:
        return calibration_tokens(calibration, source, tokenizer, settings)
    row = [number % _ANY_TOKENS for number in range(settings.length)]
    return [row for _ in range(settings.samples)]


def layer_trial(folder: Path, rows: Rows, run: Callable[[Path, Rows], LayerRun]) -> Trial | None:
    """Return how long quantizing the model in `folder` with `rows` takes; None where its layers cannot be counted.

    run(folder, rows): quantizes the model in the folder, which has one layer, without saving it, and times that without
    the load.
    """
    config = read_json(folder / "config.json")
    layers = _layer_count(config)
    if not layers:
        return None
    few = _beginning(rows, max(_FEW_TOKENS, max(map(len, rows))))
    more = _beginning(rows, _TIMES * _tokens(few))
    with _first_layer(folder, config) as first:
        warm = run(first, few)
        begin = time.perf_counter()
        short = run(first, few) if warm.seconds < _LONG_SECONDS else warm
        long = run(first, more) if len(more) > len(few) else short
        spent = warm.seconds + time.perf_counter() - begin
    added = _tokens(more) - _tokens(few)
    of_a_token = max(0.0, long.seconds - short.seconds) / added if added else 0.0
    of_a_layer = short.seconds + of_a_token * (_tokens(rows) - _tokens(few))
    return Trial(layers * of_a_layer, spent, (layers - 1) * warm.layer_bytes)


def layer_bytes(model: PreTrainedModel) -> int:
    """Return the bytes of the weights of the first layer of a torch module."""
    return sum(weight.nbytes for name, weight in model.named_parameters() if _FIRST.search(name))


def _layer_count(config: Mapping[str, object]) -> int:
    return next((count for name in _LAYERS if isinstance(count := config.get(name), int) and count > 0), 0)


@contextmanager
def _first_layer(folder: Path, config: Mapping[str, object]) -> Iterator[Path]:
    """Yield a folder with links to the model's files, whose config.json says that there is one layer.

    Engines do not read the weights of the others."""
    changed = {**config, **{name: 1 for name in _LAYERS if name in config}}
    if isinstance(kinds := config.get(_OF_EACH), list):
        changed[_OF_EACH] = kinds[:1]
    with stage_folder(folder, changed) as stage:
        yield stage


def _beginning(rows: Rows, tokens: int) -> Rows:
    """Return as many of the first rows as have `tokens` tokens; all where they have fewer."""
    found: Rows = []
    for row in rows:
        if _tokens(found) >= tokens:
            break
        found.append(row)
    return found


def _tokens(rows: Rows) -> int:
    return sum(map(len, rows))
