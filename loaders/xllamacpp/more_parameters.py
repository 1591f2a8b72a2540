"""Parameters of llama.cpp's server that have no setting, given as text: name=value, separated by commas."""

from __future__ import annotations

from typing import Any

from modules.protocol.errors import SettingError

# Those of CommonParams that change how the server computes. The rest has a setting, belongs to other programs of
# llama.cpp, or says where the server listens and what it may read, which the loader decides.
_OFFERED = (
    "cache_idle_slots",
    "check_tensors",
    "checkpoint_min_step",
    "grp_attn_n",
    "grp_attn_w",
    "image_min_tokens",
    "kv_unified_per_slot",
    "load_mtp",
    "mmproj_device",
    "mmproj_use_gpu",
    "moe_cache_size",
    "mtmd_batch_max_tokens",
    "n_ctx_checkpoints",
    "no_extra_bufts",
    "no_host",
    "no_op_offload",
    "slot_prompt_similarity",
    "swa_full",
    "warmup",
    "yarn_attn_factor",
    "yarn_beta_fast",
    "yarn_beta_slow",
    "yarn_ext_factor",
)
_SWITCHES = {"true": True, "on": True, "1": True, "false": False, "off": False, "0": False}


def set_more_parameters(params: Any, text: str) -> None:
    """Set the parameters that `text` names on CommonParams. Raises SettingError for a name or a value that is wrong."""
    for pair in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (part.strip() for part in pair.partition("="))
        name = name.lstrip("-").replace("-", "_")
        known = _known(params)
        if not equals or name not in known:
            raise SettingError(
                f"More parameters (more_parameters) cannot have {pair[:80]!r}. Write name=value, with commas between. "
                f"The names are: {', '.join(known)}."
            )
        setattr(params, name, _value(name, value, known[name]))


def _known(params: Any) -> dict[str, bool | int | float | str]:
    """Return the parameters that this version of the engine has, with their defaults."""
    return {name: getattr(params, name) for name in _OFFERED if hasattr(params, name)}


def _value(name: str, text: str, default: bool | int | float | str) -> bool | int | float | str:
    """Return the value in the type of the parameter's default. Raises SettingError."""
    try:
        if isinstance(default, bool):
            return _SWITCHES[text.lower()]
        return type(default)(text)
    except (KeyError, ValueError):
        kinds = {bool: "true or false", int: "a whole number", float: "a number"}
        raise SettingError(
            f"The parameter {name} of llama.cpp's server cannot be {text[:80]!r}. It takes {kinds[type(default)]}: "
            "correct More parameters (more_parameters)."
        ) from None
