"""Probes the sampler chain of the Transformers loaders. Runs with the Python of such a loader; see probing.py."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch

from modules.protocol.sampling import SamplingParams
from modules.worker.hf.history_samplers import History
from modules.worker.hf.sampler_chain import SamplerChain, Vocabulary
from modules.worker.hf.samplers import guidance


def main() -> None:
    """Read one JSON object from stdin, and write one to stdout."""
    asked = json.load(sys.stdin)
    torch.set_num_threads(1)
    logits = {name: torch.tensor(values) for name, values in asked["logits"].items()}
    ends, newline = (asked["end"],), asked["newline"]
    # In a text, each breaker is one token. The line break is the only breaker of these cases.
    vocabulary = Vocabulary(asked["size"], ends, newline, lambda text: newline if text == "a\n" else None)
    print(json.dumps({case["name"]: _answer(case, logits, vocabulary) for case in asked["cases"]}))


def _answer(case: dict[str, Any], logits: dict[str, torch.Tensor], vocabulary: Vocabulary) -> list[Any]:
    params = SamplingParams(**case["params"])
    history = History(case["text"], vocabulary.size, torch.device("cpu"), params.repetition_penalty_range)
    chain = SamplerChain(params, vocabulary, history, case["seed"])
    given = logits[case["logits"]]
    if case["negative"]:
        given = guidance(given, logits[case["negative"]], params.guidance_scale)
    steps = []
    for _ in range(case["steps"]):
        shaped = chain.shape(given.clone()).softmax(0)
        token = chain.choose(given.clone())
        if chain.greedy:
            shaped = torch.nn.functional.one_hot(torch.tensor(token), vocabulary.size)
        there = torch.nonzero(shaped).squeeze(1).tolist()
        steps.append({"token": token, "kept": [[at, float(shaped[at])] for at in there]})
    return steps


if __name__ == "__main__":
    main()
