"""How llama.cpp's samplers differ from their definitions in docs/samplers.md (`src/llama-sampler.cpp`)."""

from __future__ import annotations

_BOTH = {
    "dry_multiplier": "A repeat counts to its whole length, not to 50 tokens at most; a breaker is every token whose "
    "text holds it, and every row of tokens that spells it.",
    "xtc_probability": "No token is protected: the end and a line break can be excluded too.",
}
LIBRARY_DIFFERENCES = {
    **_BOTH,
    "json_schema": "A pattern or a format excludes a length. Numbers have limits only if these leave at most 100 whole "
    "ones.",
}

# Its server builds its own chain (`common/sampling.cpp`).
SERVER_DIFFERENCES = {
    **_BOTH,
    "dynamic_temperature": "Together with min-p, tokens that are banned or cut by top-n-sigma still count as possible.",
    "mirostat_mode": "The temperature alone acts beside it; the penalties, DRY and dynamic temperature do not.",
    "typical_p": "Together with min-p, it picks wrongly once tokens are banned or cut by top-n-sigma.",
}
SERVER_SILENCED = {
    "mirostat_mode": frozenset(
        {
            "repetition_penalty",
            "frequency_penalty",
            "presence_penalty",
            "dry_multiplier",
            "dynamic_temperature",
        }
    )
}
