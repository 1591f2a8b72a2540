"""Number formats of a tensor in a GGUF file, and the types that a user sets for single tensors. Standard library only.

Reference: ggml_type in ggml/include/ggml.h, and --tensor-type of tools/quantize of https://github.com/ggml-org/llama.cpp.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from modules.protocol.errors import SettingError

# Name -> ggml_type, as far as Paddock reads or writes them.
TYPES = {
    "F32": 0,
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q5_0": 6,
    "Q5_1": 7,
    "Q8_0": 8,
    "Q2_K": 10,
    "Q3_K": 11,
    "Q4_K": 12,
    "Q5_K": 13,
    "Q6_K": 14,
    "IQ2_XXS": 16,
    "IQ2_XS": 17,
    "IQ3_XXS": 18,
    "IQ1_S": 19,
    "IQ4_NL": 20,
    "IQ3_S": 21,
    "IQ2_S": 22,
    "IQ4_XS": 23,
    "IQ1_M": 29,
    "BF16": 30,
}
FULL_PRECISION = ("F32", "F16", "BF16")
# The type is the last word before a comma or the end, so a pattern may contain commas and equals signs.
_ENTRY = re.compile(r"(?P<pattern>.*?)=(?P<type>\w*)(?:,|$)", re.DOTALL)


@dataclass(frozen=True)
class TypeOverrides:
    """Types that a user sets instead of llama.cpp's choice.

    patterns: (regular expression, type) pairs; the first that is found in a tensor's name counts. output: of
    output.weight, or of the embeddings where they are the output too. embedding: of token_embd.weight.
    """

    patterns: tuple[tuple[str, str], ...] = ()
    output: str = ""
    embedding: str = ""

    def matching(self, name: str) -> str:
        """Return the type of the first pattern that is found in `name`, or ""."""
        return next((kind for pattern, kind in self.patterns if re.search(pattern, name, re.IGNORECASE)), "")


def parse_overrides(tensor_types: str, output_type: str, embedding_type: str) -> TypeOverrides:
    """Return the overrides that these settings name. Raises SettingError for a type or pattern that is none."""
    patterns = []
    at, text = 0, tensor_types.strip()
    while at < len(text):
        entry = _ENTRY.match(text, at)
        if not entry or not entry["pattern"].strip():
            raise SettingError(
                f"Types of single tensors (tensor_types) cannot be {text[at:][:80]!r}. Write PATTERN=TYPE, with commas "
                "between several, such as attn_v=Q8_0,ffn_down=Q6_K."
            )
        patterns.append((_pattern(entry["pattern"].strip()), _type("tensor_types", entry["type"])))
        at = entry.end()
    output = _type("output_type", output_type) if output_type.strip() else ""
    embedding = _type("embedding_type", embedding_type) if embedding_type.strip() else ""
    return TypeOverrides(tuple(patterns), output, embedding)


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise SettingError(
            f"The pattern {text[:80]!r} (tensor_types) is no regular expression: {error}. Write a part of a tensor's "
            "name, such as attn_v."
        ) from None
    return text


def _type(setting: str, text: str) -> str:
    name = text.strip().upper()
    if name in TYPES:
        return name
    mixed = re.fullmatch(r"(Q\d_K)_[SML]", name)
    hint = f" {name} is a mix of several types; one tensor has {mixed[1]}." if mixed else ""
    raise SettingError(
        f"{text.strip()[:40]!r} ({setting}) is no type of a tensor.{hint} The types are: {', '.join(TYPES)}."
    )
