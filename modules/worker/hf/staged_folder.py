"""Makes temporary folders with links to a model's files and a changed config.json, as an engine needs them.

Old engines cannot read files of newer ones, find weights under one name only, and one engine writes into the folder.
The user's files stay unchanged: each load gets a folder of links, which is removed after the load.

A model's JSON files may claim that its code is trusted. Only the user may decide that, so without consent these claims
are removed from the copies that an engine reads.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modules.families.transformers_settings import TransformersSettings
from modules.families.weight_files import INDEX, WHOLE, find_other_weights
from modules.protocol.errors import ModelError
from modules.worker.hf.load_options import with_rope
from modules.worker.hf.model_files import check_is_folder, read_header, read_json

_QUANTIZATION_FILES = ("quantize_config.json", "quant_config.json")
_LEFT_OUT = (*_QUANTIZATION_FILES, "config.json")


@contextmanager
def stage_folder(
    folder: Path,
    config: Mapping[str, object],
    renamed: Mapping[str, str] | None = None,
    extra: Mapping[str, object] | None = None,
) -> Iterator[Path]:
    """Yield a folder of links to the files of `folder`, with `config` as its config.json.

    `renamed`: file name -> name of its link; `extra`: further JSON files, name -> content. Quantization files
    (quantize_config.json, quant_config.json) come only from `extra`.
    """
    with tempfile.TemporaryDirectory(prefix="paddock-model-") as name:
        stage = Path(name)
        for file in sorted(folder.iterdir()):
            if file.is_file() and file.name not in _LEFT_OUT:
                _link(file.resolve(), stage / (renamed or {}).get(file.name, file.name))
        for file_name, content in {"config.json": config, **(extra or {})}.items():
            (stage / file_name).write_text(json.dumps(content), encoding="utf-8")
        yield stage


@contextmanager
def stage_for_transformers(folder: Path, trusted: bool) -> Iterator[Path]:
    """Yield `folder` itself or, if a file in it must differ, a folder of the same name with links to its files.

    Weights with another name get the one that Transformers expects. Unless `trusted`, JSON files cannot trust code or
    refer to another folder. Raises ModelError.
    """
    check_is_folder(folder)
    names = [file.name for file in folder.iterdir() if file.is_file()]
    others = find_other_weights(names)
    changed = {} if trusted else _without_trust(folder, names)
    if not others and not changed:
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="paddock-model-") as place:
        stage = Path(place) / (folder.name or "model")
        stage.mkdir()
        for name in names:
            if name not in changed:
                _link((folder / name).resolve(), stage / (WHOLE if others == [name] else name))
        for name, content in changed.items():
            (stage / name).write_text(json.dumps(content), encoding="utf-8")
        if len(others) > 1:
            (stage / INDEX).write_text(json.dumps(_index(folder, others)), encoding="utf-8")
        templates = folder / "additional_chat_templates"
        if templates.is_dir():
            (stage / templates.name).mkdir()
            for file in templates.glob("*.jinja"):
                _link(file.resolve(), stage / templates.name / file.name)
        yield stage


# Vocabularies. Their parser is not written in Python, and has no such keys.
_NO_SETTINGS = ("tokenizer.json", "vocab.json", "merges.json", "added_tokens.json")


def _without_trust(folder: Path, names: list[str]) -> dict[str, object]:
    """Return the JSON files with keys that trust code or refer to another folder: name -> content without these
    keys."""
    changed = {}
    for name in names:
        if not name.lower().endswith(".json") or name in _NO_SETTINGS or name.endswith(".index.json"):
            continue
        try:
            before = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            continue
        after = _harmless(before)
        if after != before:
            changed[name] = after
    return changed


def _harmless(value: object, top: bool = True) -> object:
    if isinstance(value, list):
        return [_harmless(item, False) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _harmless(item, False)
        for key, item in value.items()
        if key != "trust_remote_code" and (top or key != "_name_or_path")
    }


def _index(folder: Path, files: list[str]) -> dict[str, object]:
    """Return the content of model.safetensors.index.json for these files. Raises ModelError if two have the same
    tensor."""
    places: dict[str, str] = {}
    for file in files:
        for tensor in read_header(folder / file):
            if tensor in places:
                raise ModelError(
                    f"Both {places[tensor]} and {file} of {folder.name} hold the tensor {tensor}, so they are two "
                    "models. Keep the one that you want in the folder."
                )
            places[tensor] = file
    return {"metadata": {}, "weight_map": places}


@contextmanager
def stage_file(file: Path) -> Iterator[Path]:
    """Yield a folder with a link to one file, so that the engine does not see the files beside it."""
    with tempfile.TemporaryDirectory(prefix="paddock-model-") as name:
        _link(file.resolve(), Path(name) / file.name)
        yield Path(name)


def _link(file: Path, at: Path) -> None:
    try:
        at.symlink_to(file)
    except OSError:  # Windows allows symbolic links only in developer mode.
        os.link(file, at)


def read_quantization(folder: Path, config: Mapping[str, object]) -> dict[str, Any]:
    """Return quantization_config of config.json, else the content of the engine's own file with the same names (bits,
    group_size, quant_method, ...), else {}."""
    claim = config.get("quantization_config")
    if isinstance(claim, dict):
        return dict(claim)
    for name in _QUANTIZATION_FILES:
        if (folder / name).is_file():
            claim = read_json(folder / name)
            method = "awq" if "w_bit" in claim or name == "quant_config.json" else "gptq"
            names = {"w_bit": "bits", "q_group_size": "group_size"}
            return {"quant_method": method, **{names.get(key, key): value for key, value in claim.items()}}
    return {}


def write_rope_scaling(stage: Path, settings: TransformersSettings, trusted: bool) -> None:
    """Write the RoPE settings into the staged config.json, for engines that read them only there."""
    if settings.rope_scaling == "model" and not settings.rope_base:
        return
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(str(stage), local_files_only=True, trust_remote_code=trusted)
    with_rope(config, settings).save_pretrained(str(stage))


def convert_to_transformers_4(config: Mapping[str, object]) -> dict[str, object]:
    """Return a config.json with the names of Transformers 4: rope_theta and rope_scaling, torch_dtype; also in the
    parts of a multimodal model."""
    found = {
        key: convert_to_transformers_4(value) if key.endswith("_config") and isinstance(value, dict) else value
        for key, value in config.items()
    }
    rope = found.get("rope_parameters")
    if isinstance(rope, dict):
        found.setdefault("rope_theta", rope.get("rope_theta", 10000.0))
        scaling = {key: value for key, value in rope.items() if key != "rope_theta"}
        if scaling.get("rope_type", "default") != "default" or len(scaling) > 1:
            found.setdefault("rope_scaling", scaling)
    if "dtype" in found:
        found.setdefault("torch_dtype", found["dtype"])
    return found
