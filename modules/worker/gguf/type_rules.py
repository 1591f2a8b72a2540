"""llama.cpp's rules for the number format of a tensor, by file type, role and layer.

Reference: llama_tensor_get_type_impl in src/llama-quant.cpp of https://github.com/ggml-org/llama.cpp (build 11549). A
test compares the result with llama_model_quantize.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from modules.worker.gguf.source import SourceModel

# Name -> (llama_ftype of llama.h, the format that most tensors get).
FILE_TYPES = {
    "F32": (0, "F32"),
    "F16": (1, "F16"),
    "BF16": (32, "BF16"),
    "Q8_0": (7, "Q8_0"),
    "Q6_K": (18, "Q6_K"),
    "Q5_K_M": (17, "Q5_K"),
    "Q5_K_S": (16, "Q5_K"),
    "Q5_1": (9, "Q5_1"),
    "Q5_0": (8, "Q5_0"),
    "Q4_K_M": (15, "Q4_K"),
    "Q4_K_S": (14, "Q4_K"),
    "Q4_1": (3, "Q4_1"),
    "Q4_0": (2, "Q4_0"),
    "IQ4_NL": (25, "IQ4_NL"),
    "IQ4_XS": (30, "IQ4_XS"),
    "Q3_K_L": (13, "Q3_K"),
    "Q3_K_M": (12, "Q3_K"),
    "Q3_K_S": (11, "Q3_K"),
    "IQ3_M": (27, "IQ3_S"),
    "IQ3_S": (26, "IQ3_S"),
    "IQ3_XS": (22, "IQ3_S"),
    "IQ3_XXS": (23, "IQ3_XXS"),
    "Q2_K": (10, "Q2_K"),
    "IQ2_M": (29, "IQ2_S"),
    "IQ2_S": (28, "IQ2_XS"),
    "IQ2_XS": (20, "IQ2_XS"),
    "IQ2_XXS": (19, "IQ2_XXS"),
    "IQ1_M": (31, "IQ1_M"),
    "IQ1_S": (24, "IQ1_S"),
}
_VERY_LOW = ("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ2_S", "IQ2_M", "IQ1_M")
# With eight experts these give the attention's output more bits.
_BETTER_OUTPUT = (
    *("Q2_K", "IQ3_XS", "IQ3_XXS", "Q3_K_S", "Q3_K_M", "IQ4_NL", "Q4_K_S", "Q4_K_M", "IQ3_S", "IQ3_M", "IQ4_XS"),
)


@dataclass
class TypeRules:
    """The rules for one model and one file type, applied to its tensors in llama.cpp's order."""

    model: SourceModel
    file_type: str
    has_importance: bool
    values: int = 0  # tensors of attention values, and how many of them came so far
    seen_values: int = 0
    seen_down: int = 0
    seen_wide: dict[str, int] = field(default_factory=dict)  # tensors of ffn_gate and ffn_up so far

    def choose(self, name: str, category: str, columns: int, default: str, tied: bool, block: int) -> str:
        """Return the format of one tensor, before the check that its rows can be cut into blocks."""
        very_low = self.file_type in _VERY_LOW
        if category == "output" or (category == "token_embd" and tied):
            if columns % block:
                return "Q8_0"
            if very_low or self.file_type == "IQ3_XXS":
                return "Q5_K"
            return default if default == "Q8_0" else "Q6_K"
        if category == "token_embd":
            if self.file_type in ("IQ2_XXS", "IQ2_XS", "IQ1_S", "IQ1_M"):
                return "Q2_K"
            return "IQ3_S" if self.file_type in ("IQ2_S", "IQ2_M", "IQ3_XXS") else default
        if very_low:
            return self._very_low(category, default)
        if category in ("attn_v", "attn_qkv"):
            return self._value(default)
        if category == "attn_output":
            return self._attention_output(default)
        if category in ("attn_k", "attn_q"):
            if category == "attn_k" and self.model.experts == 8:
                return "Q8_0"
            return {"IQ3_XXS": "IQ2_S", "IQ3_XS": "IQ3_XXS"}.get(self.file_type, default)
        if category == "ffn_down":
            return self._down(name, default)
        if category in ("ffn_gate", "ffn_up") and self.file_type == "IQ3_XS":
            return self._wide(name, category, default)
        return default

    @property
    def _groups(self) -> int:
        """Query heads that share a key and value head."""
        return self.model.heads // self.model.kv_heads if self.model.kv_heads else 1

    def _more_bits(self, layer: int, layers: int) -> bool:
        return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2

    def _very_low(self, category: str, default: str) -> str:
        better = "IQ3_S" if self.file_type in ("IQ2_S", "IQ2_M") else "Q2_K"
        if category in ("attn_v", "attn_qkv"):
            self.seen_values += 1
            return "Q4_K" if self._groups >= 4 or self.model.experts >= 4 else better
        if category == "attn_k" and self.model.experts == 8:
            return "Q4_K"
        if category == "ffn_down":
            self.seen_down += 1
            return better if self.seen_down - 1 < self.model.layers // 8 else default
        if category == "attn_output":
            if self.model.experts == 8:
                return "Q5_K"
            return {"IQ1_S": "IQ2_XXS", "IQ1_M": "IQ2_XXS", "IQ2_S": "IQ3_S", "IQ2_M": "IQ3_S"}.get(
                self.file_type, default
            )
        return default

    def _value(self, default: str) -> str:
        kind, seen, shared = self.file_type, self.seen_values, self._groups >= 4
        self.seen_values += 1
        chosen = default
        if kind == "Q2_K":
            chosen = "Q4_K" if shared else "Q3_K"
        elif kind == "IQ3_XXS":
            chosen = "Q4_K" if shared else "IQ3_XXS" if self.has_importance else "IQ3_S"
        elif (kind in ("IQ3_XS", "IQ3_S") and shared) or kind == "IQ3_M":
            chosen = "Q4_K"
        elif kind == "Q3_K_M":
            chosen = "Q5_K" if seen < 2 else "Q4_K"
        elif kind == "Q3_K_L" or (kind in ("IQ4_NL", "IQ4_XS") and shared):
            chosen = "Q5_K"
        elif kind in ("Q4_K_M", "Q5_K_M") and self._more_bits(seen, self.values):
            chosen = "Q6_K"
        elif kind == "Q4_K_S" and seen < 4:
            chosen = "Q5_K"
        # Llama's 70B, which has 80 layers and shares its values among eight heads.
        large = self.model.architecture == "llama" and self.model.layers == 80
        if large and self.model.heads != self.model.kv_heads and chosen in ("Q3_K", "Q4_K"):
            chosen = "Q5_K"
        return "Q8_0" if self.model.experts == 8 else chosen

    def _down(self, name: str, default: str) -> str:
        layers = self.model.layers
        layer = self._layer(name, self.seen_down)
        self.seen_down += 1
        kind, first, more = self.file_type, layer < layers // 8, self._more_bits(layer, layers)
        rules: dict[str, Callable[[], str]] = {
            "Q2_K": lambda: "Q3_K",
            "IQ3_XXS": lambda: default if self.has_importance else "Q4_K" if first else "Q3_K",
            "Q3_K_M": lambda: "Q5_K" if layer < layers // 16 else "Q4_K",
            "IQ3_M": lambda: "Q4_K" if first or (self.model.experts == 8 and more) else default,
            "Q3_K_L": lambda: "Q5_K",
            "Q4_K_M": lambda: "Q6_K" if more else default,
            "IQ4_NL": lambda: "Q5_K" if first and not self.has_importance else default,
            "IQ4_XS": lambda: "Q5_K" if first and not self.has_importance else default,
            "Q5_K_M": lambda: "Q6_K" if more else default,
            "Q4_K_S": lambda: "Q5_K" if first else default,
            "Q4_0": lambda: "Q4_1" if first and self.has_importance else default,
            "Q5_0": lambda: "Q5_1" if first and self.has_importance else default,
        }
        return rules[kind]() if kind in rules else default

    def _wide(self, name: str, category: str, default: str) -> str:
        """Return the format of ffn_gate and ffn_up in IQ3_XS: fewer bits for the layers in the middle."""
        seen = self.seen_wide.get(category, 0)
        self.seen_wide[category] = seen + 1
        layers = self.model.layers
        return "IQ3_XXS" if layers // 8 <= self._layer(name, seen) < 7 * layers // 8 else default

    def _layer(self, name: str, seen: int) -> int:
        return int(name.split(".")[1]) if self.model.experts > 1 else seen

    def _attention_output(self, default: str) -> str:
        if self.model.experts == 8:
            return "Q5_K" if self.file_type in _BETTER_OUTPUT else default
        chosen = {"Q2_K": "Q3_K", "IQ3_XXS": "IQ3_S", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K", "IQ3_M": "Q4_K"}
        return chosen.get(self.file_type, default)
