"""What a folder lacks to be a model that can be loaded, in sentences with a next step."""

from __future__ import annotations

from pathlib import Path

from modules.library.facts_builder import FactsBuilder
from modules.library.folder import ModelFolder, join_names, list_folder
from modules.library.json_files import as_text, read_object_or_note

_COPY_AGAIN = "Copy it from where you got the model."
_DEEPEST = 4


def note_missing_parts(folder: ModelFolder, name: str, found: FactsBuilder) -> None:
    """Note a problem for each part that the folder lacks. `name` is its name below models/."""
    weights = folder.safetensors or folder.pickled_weights
    if folder.is_adapter:
        config = read_object_or_note(folder.path / "adapter_config.json", found.problems)
        base = as_text(config.get("base_model_name_or_path"))
        found.problems.append(
            f"This is a LoRA adapter for {base or 'another model'}, not a model. Load that model and apply the adapter."
        )
    elif "config.json" not in folder.files:
        _note_missing_config(folder, name, weights, found)
    elif not weights:
        found.problems.append("The folder holds a config.json but no weights (*.safetensors). Download them into it.")
    elif not folder.has_tokenizer:
        found.problems.append(f"The folder has no tokenizer (tokenizer.json or tokenizer.model). {_COPY_AGAIN}")
    if folder.unfinished:
        found.problems.append(
            f"The folder holds unfinished files: {join_names(folder.unfinished)}. Wait until the copy or download has "
            "ended and press refresh. If it was interrupted, download again or delete them."
        )


def _note_missing_config(folder: ModelFolder, name: str, weights: list[str], found: FactsBuilder) -> None:
    if not weights and (inner := _inner_models(folder.path, name)):
        found.problems.append(f"The model is in an inner folder. Use this name: {join_names(inner, most=10)}.")
    elif folder.files:
        content = join_names(weights or sorted(folder.files))
        found.problems.append(
            f"The folder holds {content} but no config.json, which says how to build the model. {_COPY_AGAIN}"
        )
    else:
        state = "holds no files, only folders or hidden files" if any(folder.path.iterdir()) else "is empty"
        found.problems.append(f"The folder {state}. Copy the model's files into it.")


def _inner_models(path: Path, name: str, depth: int = _DEEPEST) -> list[str]:
    """Return the names below models/ of the models in the folders below `path`."""
    found = []
    for entry in sorted(path.iterdir()):
        if not depth or entry.name.startswith(".") or entry.is_symlink() or not entry.is_dir():
            continue
        inner = f"{name.rstrip('/')}/{entry.name}"
        folder = list_folder(entry)
        if folder.is_model or len(folder.ggufs) == 1:
            found.append(inner)
        elif folder.ggufs:
            found += [f"{inner}/{file}" for file in folder.ggufs]
        else:
            found += _inner_models(entry, inner, depth - 1)
    return found
