"""How llama.cpp's samplers differ from their definitions in docs/samplers.md (`src/llama-sampler.cpp`)."""

from __future__ import annotations

LIBRARY_DIFFERENCES = {
    "dry_multiplier": "A repeat counts to its whole length, not to 50 tokens at most; a breaker is every token whose "
    "text holds it, and every row of tokens that spells it.",
    "xtc_probability": "No token is protected: the end and a line break can be excluded too.",
}

# Its server builds its own chain (`common/sampling.cpp`).
SERVER_DIFFERENCES = {
    **LIBRARY_DIFFERENCES,
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
