"""Converts the keys of preset files, also of text-generation-webui's, to SamplingParams."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from modules.protocol.errors import SettingError
from modules.protocol.sampling import SamplingParams
from modules.protocol.sampling_texts import DEFAULT_PRIORITY
from modules.protocol.schema import coerce, describe

# Names in text-generation-webui -> names here.
RENAMED = {
    "additive_repetition_penalty": "presence_penalty",
    "custom_stopping_strings": "stop",
}

# Keys of its presets that no engine here supports, with their neutral value.
RETIRED: dict[str, object] = {
    "num_beams": 1,
    "penalty_alpha": 0,
    "length_penalty": 1,
    "early_stopping": False,
    "min_length": 0,
    "num_return_sequences": 1,
    "max_tokens_second": 0,
    "max_updates_second": 0,
    "auto_max_new_tokens": False,
    "prompt_lookup_num_tokens": 0,
    "static_cache": False,
    "truncation_length": 0,
}

# Values out of range that mean "off" in presets of its older versions and in other servers.
_OFF = {"top_k": {-1: 0}, "repetition_penalty_range": {-1: 0}}
_ADVICE = "Delete the line, or correct the name; docs/samplers.md lists the parameters."
_LISTS = ("stop", "dry_sequence_breakers", "sampler_priority")


def read_keys(values: Mapping[object, object], file: str) -> tuple[dict[str, object], list[str]]:
    """Return (values by SamplingParams name and type, sentences about keys without effect).

    Raises SettingError, which names `file`, the key, and the nearest known name or where the names are listed.
    """
    settings = {entry.name: entry for entry in describe(SamplingParams)}
    result: dict[str, Any] = {}
    warnings: list[str] = []
    for key, value in values.items():
        name = RENAMED.get(str(key), str(key))
        if name in RETIRED:
            if value not in (RETIRED[name], None):
                warnings.append(f"{file}: {name} = {value} has no effect; no engine here supports it. Delete the line.")
            continue
        if name not in settings:
            advice = did_you_mean(name, [*settings, *RETIRED]) or _ADVICE
            raise SettingError(f"{file}: there is no parameter named {name!r}. {advice}")
        value = _texts(name, value) if name in _LISTS else within(name, value)
        try:
            result[name] = coerce(settings[name], value)
        except SettingError as error:
            raise SettingError(f"{file}: {error.message}") from None
    for sampler in result.get("sampler_priority", ()):
        if sampler not in DEFAULT_PRIORITY:
            what = f"{file}: sampler_priority contains {sampler!r}, which is not a sampler."
            known = f"The samplers are: {', '.join(DEFAULT_PRIORITY)}."
            raise SettingError(f"{what} {did_you_mean(sampler, DEFAULT_PRIORITY) or known}")
    return result, warnings


def within(name: str, value: object) -> object:
    """Return `value`, or the neutral value if it means "off" elsewhere."""
    if name in _OFF and isinstance(value, (int, float)) and not isinstance(value, bool) and value == -1:
        return _OFF[name][-1]
    return value


def _texts(name: str, value: object) -> object:
    """Return a list of texts from a list, from one text per line, or from quoted texts with commas ('"\\n", ":"')."""
    if not isinstance(value, str):
        return value
    if name != "sampler_priority" and value.lstrip().startswith('"'):
        try:
            return json.loads(f"[{value}]", strict=False)
        except (ValueError, RecursionError):
            pass
    lines = value.replace(",", "\n") if name == "sampler_priority" else value
    return [line.strip() for line in lines.splitlines() if line.strip()]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question with the known name nearest to `name`, or ""."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"Did you mean {near[0]!r}?" if near else ""
