"""Checks the files of a Transformers model before it is loaded."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.families.template_file import find_template
from modules.protocol.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_LONGEST_HEADER = 100 * 2**20
_AGAIN = "Download the model again."


def has_consent(name: str) -> bool:
    """Return True if the user consented at start: PADDOCK_TRUST_REMOTE_CODE, PADDOCK_TRUST_PICKLE."""
    return os.environ.get(name) == "1"


def missing_tensor_error(weights: str, missing: list[str]) -> ModelError:
    """Return the error for `missing` tensors of `weights`, such as "The weights of tiny"."""
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return ModelError(f"{weights} lack the tensor {missing[0]}{more}. {_AGAIN}")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises ModelError."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name} of {path.parent.name} cannot be read ({error}). {_AGAIN}") from None
    if not isinstance(value, dict):
        raise ModelError(f"{path.name} of {path.parent.name} holds no settings. {_AGAIN}")
    return value


def check_is_folder(path: Path) -> None:
    """Raise ModelError if `path` is not a folder."""
    if not path.is_dir():
        raise ModelError(f"{path.name} is not a folder. This loader reads folders with a config.json and safetensors.")


def check_folder(folder: Path) -> dict[str, Any]:
    """Return config.json of a folder with complete weights. Raises ModelError, which names the wrong file."""
    check_is_folder(folder)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{folder.name} has no config.json, so its architecture is unknown. "
            f"Copy the whole model folder into {folder.parent}."
        )
    config = read_json(folder / "config.json")
    files = weight_files(folder)
    for file in files:
        if file.suffix == ".safetensors":
            check_safetensors(file)
    if any(file.suffix != ".safetensors" for file in files) and not has_consent("PADDOCK_TRUST_PICKLE"):
        raise ModelError(
            f"{folder.name} holds its weights as pickles ({files[0].name}), which can run code when they are read. "
            "Get it as safetensors, or start Paddock with "
            f"--trust-pickle {folder.name} if you trust its author."
        )
    return config


def weight_files(folder: Path) -> list[Path]:
    """Return the files with the weights. Raises ModelError if one is missing, or there are none."""
    for stem, suffix in (("model", "safetensors"), ("pytorch_model", "bin")):
        index = folder / f"{stem}.{suffix}.index.json"
        if index.is_file():
            names = sorted(set(read_json(index).get("weight_map", {}).values()))
            missing = [name for name in names if not (folder / name).is_file()]
            if missing:
                raise ModelError(
                    f"{folder.name} lacks {len(missing)} of {len(names)} weights files, the first being {missing[0]}. "
                    "Download what is missing."
                )
            return [folder / name for name in names]
        if (folder / f"{stem}.{suffix}").is_file():
            return [folder / f"{stem}.{suffix}"]
    others = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if others:
        return others
    raise ModelError(f"{folder.name} has no weights (no .safetensors file). {_AGAIN}")


def check_safetensors(file: Path) -> None:
    """Raise ModelError unless the file has the length that its header gives."""
    size = file.stat().st_size
    header = read_header(file)
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
    try:
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
        expected = 8 + length + end
    except (KeyError, TypeError, IndexError):
        raise _damaged_header(file) from None
    if size != expected:
        raise ModelError(
            f"{file.name} of {file.parent.name} has {size:,} bytes and should have {expected:,}: "
            f"the download did not finish. {_AGAIN}"
        )


def read_header(file: Path) -> dict[str, Any]:
    """Return the tensors of a safetensors file, name -> {"dtype", "shape", "data_offsets"}.

    The format: eight bytes of length, little-endian; a JSON header; the tensors. Raises ModelError.
    """
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(size - 8, _LONGEST_HEADER):
            raise ModelError(f"{file.name} of {file.parent.name} is damaged or cut short ({size:,} bytes). {_AGAIN}")
        try:
            header = json.loads(stream.read(length))
            return {name: entry for name, entry in header.items() if name != "__metadata__"}
        except (ValueError, AttributeError):
            raise _damaged_header(file) from None


def _damaged_header(file: Path) -> ModelError:
    return ModelError(f"The header of {file.name} in {file.parent.name} is damaged. {_AGAIN}")


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Return the folder's tokenizer. Raises ModelError if there is none.

    A folder saved by another major version of Transformers may name a missing class ("TokenizersBackend"). Its
    tokenizer.json is then read directly. The folder is not changed.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    if not any((folder / name).exists() for name in _TOKENIZER_FILES):
        raise ModelError(
            f"{folder.name} has no tokenizer (tokenizer.json or tokenizer.model). Copy it from the model's source."
        )
    try:
        return AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=has_consent("PADDOCK_TRUST_REMOTE_CODE")
        )
    except Exception as error:
        if not (folder / "tokenizer.json").is_file():
            if "trust_remote_code" in str(error):
                raise ModelError(
                    f"The tokenizer of {folder.name} is code that comes with the model, which is not run without your "
                    f"consent. Start Paddock with --trust-remote-code {folder.name} if you trust its author, or choose "
                    "another model."
                ) from error
            raise ModelError(f"The tokenizer of {folder.name} cannot be read ({error}). {_AGAIN}") from error
        cause = error
    config_file = folder / "tokenizer_config.json"
    config = read_json(config_file) if config_file.is_file() else {}
    kept = {key: value for key, value in config.items() if key.endswith("_token") or key in _TOKENIZER_KEYS}
    kept = {key: value.get("content") if isinstance(value, dict) else value for key, value in kept.items()}
    try:
        return PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **kept)
    except Exception:
        raise ModelError(f"The tokenizer of {folder.name} cannot be read ({cause}). {_AGAIN}") from cause


_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tiktoken.model",
    "qwen.tiktoken",
)
_TOKENIZER_KEYS = ("chat_template", "model_max_length", "clean_up_tokenization_spaces")


def chat_template(folder: Path, tokenizer: object) -> tuple[str, str]:
    """Return (the chat template, the name of its file), or two empty texts. `folder` may be a GGUF file."""
    if folder.is_dir() and (found := find_template(folder)).text:
        return found.text, found.source
    template = getattr(tokenizer, "chat_template", None)
    if isinstance(template, dict):
        template = template.get("default") or next(iter(template.values()), None)
    if not template:
        return "", ""
    return str(template), f"{folder.name}: tokenizer.chat_template" if folder.is_file() else "its tokenizer"


def stored_parameters(folder: Path, config: Mapping[str, object]) -> int:
    """Return the number of weights in the folder; 0 for quantized ones, whose shapes do not show it."""
    if isinstance(config.get("quantization_config"), dict):
        return 0
    headers = [read_header(file) for file in weight_files(folder) if file.suffix == ".safetensors"]
    return sum(math.prod(entry["shape"]) for header in headers for entry in header.values())
