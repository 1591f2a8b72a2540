"""Speculative decoding in llama.cpp's server: where drafts come from (common/speculative.cpp)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modules.families.drafts import HeadDraftSettings, check_one_model, find_draft_model, no_heads
from modules.protocol.errors import ModelError, SettingError
from modules.worker.llama.draft_file import fitting_draft
from modules.worker.llama.gguf_keys import read_keys

# llama.cpp's own lengths (12 tokens that match, drafts of 48) suit code of many lines. These find the repetitions of
# usual replies too. A processor without AVX-512 and AMX reads four tokens in 2.3 times the time of one, so a longer
# draft that is wrong costs more than it gains (python3 -m benchmarks speculative).
_MATCH, _MOST = 2, 3
# Architectures whose heads for several tokens llama.cpp computes (the models with a graph_mtp in build 11549).
_WITH_HEADS = frozenset(
    (
        *("bailingmoe3", "cohere2moe", "deepseek2", "deepseek32", "deepseek4", "glm-dsa", "glm4moe", "glm5-next"),
        *("hy_v3", "mimo2", "nemotron_h_moe", "qwen35", "qwen35moe", "qwen3next", "qwen4exp", "step35"),
    )
)


def set_drafts(xllamacpp: Any, params: Any, settings: Any, model: Path) -> None:
    """Switch on what the settings ask for. Raises ModelError for a draft model that is not there or does not fit, and
    for heads that the model does not have."""
    kinds, drafts = [], params.speculative
    # The server reads the drafts of all slots in one step, and aborts if that has more tokens than a micro-batch.
    room = params.n_ubatch // settings.slots - 1
    if room < 1 and (settings.ngram_draft or settings.mtp_draft or settings.draft_model.strip()):
        raise SettingError(
            f"With {settings.slots} replies at once, drafts need a batch of at least {2 * settings.slots}. Raise Batch "
            "(batch) and Micro-batch (micro_batch), or switch off the drafts."
        )
    if settings.ngram_draft:
        # This kind keeps how many tokens of each draft were right, and drafts no more of them the next time.
        drafts.ngram_map_k4v.size_n = _MATCH
        drafts.ngram_map_k4v.size_m = min(settings.draft_tokens or _MOST, room)
        kinds.append("NGRAM_MAP_K4V")
    check_one_model(settings)
    if settings.mtp_draft:
        _check_heads(model)
        params.load_mtp = True
        kinds.append("DRAFT_MTP")
    elif settings.draft_model.strip():
        drafts.draft.mparams.path = str(fitting_draft(settings.draft_model, model, unused_only=settings.unused_only))
        drafts.draft.n_gpu_layers = settings.gpu_layers
        kinds.append("DRAFT_SIMPLE")
    if settings.mtp_draft or settings.draft_model.strip():
        drafts.draft.cpuparams.n_threads = params.cpuparams.n_threads
        drafts.draft.cpuparams_batch.n_threads = params.cpuparams_batch.n_threads
        drafts.draft.n_max = min(settings.draft_tokens or drafts.draft.n_max, room)
    if kinds:
        drafts.types = [getattr(xllamacpp.common_speculative_type, f"COMMON_SPECULATIVE_TYPE_{kind}") for kind in kinds]


def draft_bans(settings: HeadDraftSettings, model: Path) -> list[list[object]]:
    """Return the biases that keep the model from tokens which its draft model does not have: the server would end."""
    named = settings.draft_model.strip()
    if not named:
        return []
    own, other = (read_keys(file).vocabulary for file in (model, find_draft_model(named, model)))
    return [[token, False] for token in range(other, own)]


def _check_heads(model: Path) -> None:
    """Raise ModelError unless the file has heads that llama.cpp computes. It would abort."""
    keys = read_keys(model)
    if not keys.has_heads:
        raise no_heads(model.name)
    if keys.architecture not in _WITH_HEADS:
        raise ModelError(
            f"This version of llama.cpp cannot draft from the heads of the architecture {keys.architecture!r}. Switch "
            "off Draft from the model's own heads (mtp_draft)."
        )
