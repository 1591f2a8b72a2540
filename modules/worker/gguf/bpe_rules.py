"""How byte-level BPE tokenizers split a text before they merge, and llama.cpp's name of each rule.

llama.cpp has the rules in its code (llm_tokenizer_bpe of src/llama-vocab.cpp), so a GGUF file names one of them. The
rule is recognized here by the regular expression in tokenizer.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modules.protocol.errors import ModelError

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_LINES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_WORDS = rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+"
_SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+"
_CASED_FIRST = rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*"
_SLASHED = r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_SPLITS = {
    rf"{_WORDS}|\p{{N}}{{1,3}}|{_SYMBOLS}|{_LINES}": "llama-bpe",
    rf"{_WORDS}|\p{{N}}|{_SYMBOLS}|{_LINES}": "qwen2",
    rf"{_CASED}|{_CASED_FIRST}|\p{{N}}|{_SLASHED}|{_LINES}": "tekken",
    rf"{_CASED}{_CONTRACTIONS}?|{_CASED_FIRST}{_CONTRACTIONS}?|\p{{N}}{{1,3}}|{_SLASHED}|{_LINES}": "gpt-4o",
}


def bpe_name(tokenizer: Mapping[str, Any], model: str) -> str:
    """Return llama.cpp's name of the rule in this tokenizer.json. Raises ModelError for one that is unknown.

    `model`: the model's name, for the error.
    """
    step = tokenizer.get("pre_tokenizer") or {}
    steps = step.get("pretokenizers") or [step]
    kinds = [str(entry.get("type")) for entry in steps]
    known = ""
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        known = "gpt-2"
    elif kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and steps[1].get("use_regex", True):
        known = "smollm"
    elif kinds == ["Split", "ByteLevel"] and not steps[1].get("use_regex", True):
        pattern = steps[0].get("pattern") or {}
        known = _SPLITS.get(str(pattern.get("Regex")), "")
        if known == "llama-bpe" and not (tokenizer.get("model") or {}).get("ignore_merges"):
            known = "smaug-bpe"  # the same rule, and every text goes through the merges
    if not known or any(entry.get("add_prefix_space") for entry in steps):
        raise ModelError(
            f"The tokenizer of {model} splits text by a rule that this converter does not know, and with another rule "
            "the model would see other tokens. Choose another method, such as bnb or gptq, or download the model as "
            "GGUF."
        )
    return known
