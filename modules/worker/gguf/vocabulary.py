"""A folder's tokenizer as GGUF metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modules.families.template_file import find_template
from modules.protocol.errors import ModelError
from modules.worker.gguf.bpe_rules import bpe_name
from modules.worker.gguf.sentencepiece_file import read_pieces
from modules.worker.gguf.source import Metadata

# llama_token_type of llama.h, which SentencePiece shares.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
# How likely a piece is does not matter for one that only special rules produce.
_ADDED_SCORE, _UNUSED_SCORE = -1000.0, -10000.0


def write_vocabulary(metadata: Metadata, folder: Path, config: Mapping[str, Any]) -> None:
    """Set the metadata of the tokenizer and the chat template. Raises ModelError for a tokenizer that is unknown."""
    settings, tokenizer = _read(folder / "tokenizer_config.json"), _read(folder / "tokenizer.json")
    tokens = _Tokens(int(config.get("vocab_size") or 0))
    model = tokenizer.get("model") or {}
    ids: dict[str, int] = {}
    if (folder / "tokenizer.model").is_file():
        pieces = read_pieces(folder / "tokenizer.model")
        for token, (text, score, kind) in enumerate(pieces.pieces):
            tokens.set(token, text, score, kind)
        ids, prefix, name = pieces.ids, pieces.space_prefix, "llama"
        if tokenizer:
            prefix = _puts_space(tokenizer)
    elif model.get("type") == "BPE" and model.get("byte_fallback"):
        _sentencepiece_like(tokens, model)
        prefix, name = _puts_space(tokenizer), "llama"
    elif model.get("type") == "BPE":
        rule = bpe_name(tokenizer, folder.name)
        for text, token in model["vocab"].items():
            tokens.set(token, text, 0.0, _NORMAL)
        metadata.text("tokenizer.ggml.pre", rule)
        prefix, name = False, "gpt2"
    else:
        raise ModelError(_no_tokenizer(folder, str(model.get("type") or "")))
    _add_special(tokens, tokenizer, settings, folder)
    metadata.text("tokenizer.ggml.model", name)
    metadata.texts("tokenizer.ggml.tokens", tokens.texts)
    metadata.wholes("tokenizer.ggml.token_type", tokens.kinds)
    if name == "llama":
        metadata.text("tokenizer.ggml.pre", "default")
        metadata.reals("tokenizer.ggml.scores", tokens.scores)
        metadata.flag("tokenizer.ggml.add_space_prefix", prefix)
    else:
        metadata.texts("tokenizer.ggml.merges", _merges(model))
    _write_special_ids(metadata, tokens, {**ids, **_named_ids(tokens, settings, config)})
    bos, eos = _added(tokenizer, settings)
    metadata.flag("tokenizer.ggml.add_bos_token", bos)
    metadata.flag("tokenizer.ggml.add_eos_token", eos)
    template = find_template(folder).text
    if template:
        metadata.text("tokenizer.chat_template", template)


class _Tokens:
    """Texts, scores and types by token id, filled up to the size of the model's vocabulary."""

    def __init__(self, size: int) -> None:
        self.texts = [f"[PAD{token}]" for token in range(size)]
        self.scores = [_UNUSED_SCORE] * size
        self.kinds = [_UNUSED] * size

    def set(self, token: int, text: str, score: float, kind: int) -> None:
        if 0 <= token < len(self.texts):
            self.texts[token], self.scores[token], self.kinds[token] = text, score, kind

    def id_of(self, text: str) -> int:
        return self.texts.index(text) if text in self.texts else -1


def _read(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise ModelError(f"{file.name} of {file.parent.name} is damaged. Download it again.") from None
    return value if isinstance(value, dict) else {}


def _no_tokenizer(folder: Path, kind: str) -> str:
    what = f"is of the kind {kind}, which this converter does not write" if kind else "is missing"
    return f"The tokenizer of {folder.name} {what}. Choose another method, or download the model as GGUF."


def _sentencepiece_like(tokens: _Tokens, model: Mapping[str, Any]) -> None:
    """Fill in a SentencePiece vocabulary from its BPE merges in tokenizer.json.

    SentencePiece joins the pair whose piece has the best score, BPE the pair whose merge comes first. The number of a
    piece's first merge, negative, is such a score.
    """
    rank: dict[str, int] = {}
    for place, merge in enumerate(model.get("merges") or []):
        rank.setdefault("".join(merge if isinstance(merge, list) else merge.split(" ", 1)), place)
    for text, token in model["vocab"].items():
        byte = len(text) == 6 and text.startswith("<0x") and text.endswith(">")
        kind = _UNKNOWN if text == model.get("unk_token") else _BYTE if byte else _NORMAL
        tokens.set(token, text, 0.0 if kind != _NORMAL else -float(rank.get(text, len(rank))), kind)


def _puts_space(tokenizer: Mapping[str, Any]) -> bool:
    """Return True if this tokenizer.json puts a space before a text."""
    parts = [tokenizer.get("normalizer"), tokenizer.get("pre_tokenizer")]
    steps = [step for part in parts if part for step in part.get("normalizers") or part.get("pretokenizers") or [part]]
    for step in steps:
        if step.get("type") == "Prepend":
            return True
        if step.get("type") == "Metaspace":
            scheme = step.get("prepend_scheme")
            return scheme != "never" if scheme else bool(step.get("add_prefix_space", True))
    return False


def _add_special(tokens: _Tokens, tokenizer: Mapping[str, Any], settings: Mapping[str, Any], folder: Path) -> None:
    added = {token: str(number) for token, number in _read(folder / "added_tokens.json").items()}
    entries = {number: {"content": token} for token, number in added.items()}
    entries.update({str(entry["id"]): entry for entry in tokenizer.get("added_tokens") or []})
    entries.update(settings.get("added_tokens_decoder") or {})
    for number, entry in entries.items():
        text, token = str(entry["content"]), int(number)
        if tokens.kinds[token : token + 1] == [_UNKNOWN]:
            continue
        special = entry.get("special") or _looks_special(text)
        if not special:
            text = text.replace("▁", " ")
        tokens.set(token, text, _ADDED_SCORE, _CONTROL if special else _USER_DEFINED)


def _looks_special(text: str) -> bool:
    """Return True for tokens that some makers forgot to mark as special."""
    ends = (("<|", "|>"), ("<｜", "｜>"), ("<unused", ">"))
    return text in ("<pad>", "<mask>", "<2mass>", "[@BOS@]") or any(
        text.startswith(begin) and text.endswith(end) for begin, end in ends
    )


def _merges(model: Mapping[str, Any]) -> list[str]:
    """Return the merges as GGUF has them: two pieces with a space between; a space in a piece is written as "Ġ"."""
    return [
        merge if isinstance(merge, str) else " ".join(part.replace(" ", "Ġ") for part in merge)
        for merge in model.get("merges") or []
    ]


def _named_ids(tokens: _Tokens, settings: Mapping[str, object], config: Mapping[str, object]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"):
        token = settings.get(f"{name}_token")
        text = token.get("content") if isinstance(token, dict) else token
        number = config.get(f"{name}_token_id")
        if isinstance(text, str) and (place := tokens.id_of(text)) >= 0:
            found[name] = place
        elif isinstance(number, int) and not isinstance(number, bool):
            found[name] = number
    return found


def _write_special_ids(metadata: Metadata, tokens: _Tokens, ids: Mapping[str, int]) -> None:
    # GGUF's own names.
    names = {"unk": "unknown", "sep": "seperator", "pad": "padding"}
    for name, token in ids.items():
        if 0 <= token < len(tokens.texts):
            metadata.whole(f"tokenizer.ggml.{names.get(name, name)}_token_id", token)


def _added(tokenizer: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[bool, bool]:
    """Return whether a text gets a token of its beginning, and one of its end."""
    first = last = ""
    processor = tokenizer.get("post_processor") or {}
    for step in processor.get("processors") or [processor]:
        if step.get("type") == "TemplateProcessing" and len(single := step.get("single") or []) > 1:
            first, last = (single[place].get("SpecialToken", {}).get("id", "") for place in (0, -1))
    bos, eos = settings.get("add_bos_token"), settings.get("add_eos_token")
    # Without tokenizer.json the class of Llama's tokenizer adds a beginning unless its settings say no.
    default = bool(first) if tokenizer else "Llama" in str(settings.get("tokenizer_class"))
    return bos if isinstance(bos, bool) else default, eos if isinstance(eos, bool) else bool(last)
