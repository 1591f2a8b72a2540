"""Finds where a SentencePiece tokenizer adds a space before a text, because llama.cpp's rule is not right for all
models.

llama.cpp adds one at the start of a prompt and after every special token. A tokenizer of Transformers with `legacy:
false` adds one only at the very start, and none if a special token comes first. A GGUF file does not contain the rule
that the model was trained with, so the tokenizer's files beside it are read. Without them, the rule is the default of
Transformers, also for GGUF files: only at the start; for Phi-3 everywhere.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from modules.worker.llama.gguf_keys import GgufKeys

# Longer files are ignored: no SentencePiece tokenizer is that large.
_LONGEST_FILE = 64 << 20
_CONFIG, _TOKENIZER = "tokenizer_config.json", "tokenizer.json"
# Transformers builds this class from the flags in tokenizer_config.json and ignores the rule in tokenizer.json.
_FLAGGED = ("LlamaTokenizer", "LlamaTokenizerFast")
# Except for models of these types (its tokenization_auto.py), for which tokenizer.json counts.
_UNFLAGGED_TYPES = (
    *("internlm2", "internlm3", "jamba", "llava", "llava_next", "minicpm3", "minicpmv", "ministral", "ministral3"),
    *("mistral", "mistral3", "mixtral", "nemotron", "persimmon", "phi3", "phi3_v", "phimoe", "pixtral", "stablelm"),
    *("vipllava", "voxtral"),
)


@dataclass(frozen=True)
class SpacePrefix:
    """`places`: no text gets a space; the text that the prompt starts with; or each text between special tokens.
    `doubled`: also a text that begins with a space."""

    places: Literal["never", "start", "all"]
    doubled: bool = False

    def wanted(self, text: str, at_start: bool) -> bool:
        """Return True if a space is added before `text`, which contains no special token."""
        if self.places == "never" or (self.places == "start" and not at_start):
            return False
        return self.doubled or not text.startswith((" ", "\u2581"))


def is_sentencepiece(keys: GgufKeys) -> bool:
    """Return True if the GGUF file has a tokenizer that may add spaces before texts."""
    return keys.values.get("tokenizer.ggml.model") == "llama"


def space_prefix(file: Path, keys: GgufKeys) -> SpacePrefix:
    """Return the rule of the model in the GGUF file `file`, which has a SentencePiece tokenizer."""
    if keys.values.get("tokenizer.ggml.add_space_prefix") is False:
        return SpacePrefix("never")
    for folder in _folders(file):
        found = _folder_rule(folder, keys)
        if found is not None:
            return found
    return SpacePrefix("all", doubled=True) if keys.architecture == "phi3" else SpacePrefix("start")


def _folders(file: Path) -> Iterator[Path]:
    """Return where the files of the model's tokenizer may be: beside it, or in a folder beside it with the start of its
    name (`demo` for `demo.Q8_0.gguf`)."""
    yield file.parent
    name = file.name.lower()
    beside: list[Path] = []
    with contextlib.suppress(OSError):
        beside = [path for path in file.parent.iterdir() if name.startswith(path.name.lower()) and path.is_dir()]
    for path in sorted(beside, key=lambda path: -len(path.name)):
        if not name[len(path.name) :][:1].isalnum():
            yield path


def _folder_rule(folder: Path, keys: GgufKeys) -> SpacePrefix | None:
    """Return the rule of the tokenizer in `folder`, as Transformers reads it, or None if there is no tokenizer, or one
    of another model than `keys`."""
    config, tokenizer = _read(folder / _CONFIG), _read(folder / _TOKENIZER)
    if not config and not (folder / _TOKENIZER).is_file():
        return None
    if tokenizer and not _same_vocabulary(tokenizer, keys):
        return None
    flagged = config.get("tokenizer_class") in _FLAGGED
    if tokenizer and not (flagged and _read(folder / "config.json").get("model_type") not in _UNFLAGGED_TYPES):
        return _written_rule(tokenizer)
    if not flagged and "legacy" not in config and "add_prefix_space" not in config:
        return None
    if config.get("add_prefix_space") is False:
        return SpacePrefix("never")
    return SpacePrefix("all" if config.get("legacy") else "start")


def _same_vocabulary(tokenizer: dict[str, Any], keys: GgufKeys) -> bool:
    """Return True if a sample of its tokens is the same as in the GGUF file."""
    vocabulary = tokenizer.get("model", {}).get("vocab", {})
    if isinstance(vocabulary, list):
        vocabulary = {entry[0]: place for place, entry in enumerate(vocabulary)}
    added = {token.get("content"): token.get("id") for token in tokenizer.get("added_tokens", [])}
    return all(added.get(name, vocabulary.get(name)) == place for place, name in keys.sample.items())


def _written_rule(tokenizer: dict[str, Any]) -> SpacePrefix:
    """Return the rule in tokenizer.json (https://huggingface.co/docs/tokenizers)."""
    if any(part.get("type") == "Prepend" for part in _parts(tokenizer, "normalizer", "normalizers")):
        return SpacePrefix("all", doubled=True)
    for part in _parts(tokenizer, "pre_tokenizer", "pretokenizers"):
        if part.get("type") == "Metaspace":
            scheme = part.get("prepend_scheme", "always" if part.get("add_prefix_space", True) else "never")
            return SpacePrefix({"always": "all", "first": "start"}.get(scheme, "never"))  # type: ignore[arg-type]
    return SpacePrefix("never")


def _parts(tokenizer: dict[str, Any], name: str, names: str) -> list[dict[str, Any]]:
    part = tokenizer.get(name) or {}
    return [entry for entry in part.get(names, [part]) if isinstance(entry, dict)]


def _read(file: Path) -> dict[str, object]:
    """Return the object in a JSON file, or {} if it cannot be read."""
    try:
        if file.stat().st_size > _LONGEST_FILE:
            return {}
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
