"""Every parameter that a loader declares reaches its engine, for engines that expose no probabilities.

The engines' sources, which the loaders' modules name, define their own parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from loaders.exllamav2.sampler_settings import sampler_settings
from loaders.exllamav2.spec import SPEC as EXLLAMAV2
from loaders.remote.dialects import DIALECTS
from loaders.remote.http_client import HttpClient
from loaders.vllm.sampling_params import sampling_fields
from loaders.vllm.spec import SPEC as VLLM
from loaders.xllamacpp.completion_request import completion_request
from modules.families.remote_file import RemoteFile
from modules.protocol.sampling import SamplingParams
from modules.worker.llama.sampler_settings import token_biases
from tests.conformance.cases import CASES
from tests.conformance.engines import PARTS

# A value that is not neutral for each parameter.
OFF: dict[str, Any] = {
    "temperature": 0.7,
    "dynamic_temperature": True,
    "dynatemp_low": 0.5,
    "dynatemp_high": 1.5,
    "dynatemp_exponent": 2.0,
    "smoothing_factor": 0.3,
    "smoothing_curve": 2.0,
    "top_p": 0.9,
    "min_p": 0.1,
    "top_k": 20,
    "typical_p": 0.9,
    "top_n_sigma": 1.0,
    "tfs": 0.9,
    "top_a": 0.2,
    "epsilon_cutoff": 3.0,
    "eta_cutoff": 3.0,
    "xtc_threshold": 0.2,
    "xtc_probability": 0.5,
    "adaptive_target": 0.4,
    "adaptive_decay": 0.5,
    "dry_multiplier": 0.8,
    "dry_allowed_length": 3,
    "dry_base": 1.5,
    "dry_sequence_breakers": ["."],
    "repetition_penalty": 1.1,
    "repetition_penalty_range": 64,
    "frequency_penalty": 0.2,
    "presence_penalty": 0.2,
    "encoder_repetition_penalty": 1.1,
    "no_repeat_ngram_size": 3,
    "mirostat_mode": 2,
    "mirostat_tau": 3.0,
    "mirostat_eta": 0.2,
    "guidance_scale": 1.5,
    "negative_prompt": "no",
    "do_sample": False,
    "temperature_last": True,
    "sampler_priority": ["min_p"],
    "custom_token_bans": "5",
    "logit_bias": "5:1",
    "ban_eos_token": True,
    "grammar_string": 'root ::= "a"',
    "json_schema": '{"type": "object"}',
}
BESIDE: dict[str, dict[str, Any]] = {
    "dynamic_temperature": {"dynatemp_high": 2.5},
    "temperature_last": {"temperature": 0.5, "min_p": 0.1},
    "sampler_priority": {"min_p": 0.1},
}
# The worker passes these to the engine in another way than the fields that are compared here.
APART = {
    "exllamav2": {
        *("dry_sequence_breakers", "negative_prompt", "custom_token_bans", "logit_bias", "ban_eos_token"),
        *("grammar_string", "json_schema"),
    },
    "vllm": {"grammar_string", "json_schema"},
}


def _vllm(params: SamplingParams) -> Any:
    return sampling_fields(params, (2,), params.max_new_tokens, 1)


def _dialect(name: str) -> Callable[[SamplingParams], Any]:
    server = DIALECTS[name](HttpClient(RemoteFile(address="http://127.0.0.1:9"), ""), "model")
    return lambda params: server.sampling(params, 1, 4096)


SENT: dict[str, tuple[Callable[[SamplingParams], Any], frozenset[str]]] = {
    "exllamav2": (lambda params: sampler_settings(params, 32000), EXLLAMAV2.samplers),
    "vllm": (_vllm, VLLM.samplers),
    **{f"remote {name}": (_dialect(name), kind.samplers) for name, kind in DIALECTS.items()},
}


@pytest.mark.parametrize("engine", SENT)
def test_every_declared_parameter_is_sent(engine: str) -> None:
    sent, declared = SENT[engine]
    for name in sorted(declared - APART.get(engine, set())):
        beside = dict(BESIDE.get(name, {}))
        if whole := PARTS.get(name):
            beside |= {whole: OFF[whole], **BESIDE.get(whole, {})}
        without = sent(SamplingParams(**{key: value for key, value in beside.items() if key != name}))
        assert sent(SamplingParams(**{**beside, name: OFF[name]})) != without, name


def test_remote_llama_cpp_gets_the_same_request_as_xllamacpp() -> None:
    far, _ = SENT["remote llama.cpp"]
    for case in CASES:
        here = completion_request(list(case.text), case.parsed(), 1, 4096, ())
        there = far(case.parsed())
        assert there == {name: here[name] for name in there}, case.name


def test_bans_and_biases_become_token_biases() -> None:
    assert token_biases(SamplingParams(logit_bias="5:1", custom_token_bans="6")) == {5: 1.0, 6: float("-inf")}
