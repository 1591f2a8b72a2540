"""Probes the llamacpp loader's chain of llama.cpp samplers. Runs with the Python of its environment; see probing.py."""

from __future__ import annotations

import ctypes
import json
import math
import sys
from typing import Any

import llama_cpp.llama_cpp as lib

from loaders.llamacpp.sampler_chain import SamplerChain
from modules.protocol.sampling import SamplingParams

CONTEXT = 512


def main() -> None:
    """Read one JSON object from stdin, and write one to stdout."""
    asked = json.load(sys.stdin)
    silent = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(silent, None)
    lib.llama_backend_init()
    parameters = lib.llama_model_default_params()
    parameters.vocab_only = True
    model = lib.llama_model_load_from_file(asked["model"].encode(), parameters)
    vocab = lib.llama_model_get_vocab(model)
    assert lib.llama_vocab_n_tokens(vocab) == asked["size"]
    print(json.dumps({case["name"]: _answer(case, asked, vocab) for case in asked["cases"]}))


def _answer(case: dict[str, Any], asked: dict[str, Any], vocab: Any) -> list[Any]:
    params = SamplingParams(**case["params"])
    chain = SamplerChain(lib, vocab, params, case["seed"], CONTEXT, frozenset([asked["end"]]))
    chain.remember(case["text"])
    steps = []
    for _ in range(case["steps"]):
        array = _array(asked["logits"][case["logits"]])
        lib.llama_sampler_apply(chain.handle, ctypes.byref(array))
        there = array.data[: array.size]
        token = there[array.selected].id
        lib.llama_sampler_accept(chain.handle, token)
        steps.append({"token": token, "kept": _kept(there)})
    chain.close()
    return steps


def _array(logits: list[float]) -> Any:
    """Return the array that llama_sampler_sample makes of the logits."""
    entries = (lib.llama_token_data * len(logits))(*((token, logit, 0.0) for token, logit in enumerate(logits)))
    return lib.llama_token_data_array(
        data=ctypes.cast(entries, ctypes.POINTER(lib.llama_token_data)), size=len(logits), selected=-1, sorted=False
    )


def _kept(entries: list[Any]) -> list[list[float]]:
    """Return (token, probability) of the tokens that can be drawn."""
    highest = max(entry.logit for entry in entries)
    weights = {entry.id: math.exp(entry.logit - highest) for entry in entries if entry.logit > -math.inf}
    total = sum(weights.values())
    return [[token, weight / total] for token, weight in weights.items() if weight > 0]


if __name__ == "__main__":
    main()
