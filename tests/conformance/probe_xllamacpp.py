"""Probes llama.cpp's server. Runs with the Python of the xllamacpp loader's environment; see probing.py.

The server reports the tokens that its samplers left (`post_sampling_probs`), and accepts a bias for every token. With
biases that compensate for the model's own logits, it samples from the logits of the case.
"""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any

import xllamacpp

from loaders.xllamacpp.completion_request import completion_request
from modules.protocol.sampling import SamplingParams

CONTEXT = 512
# Lifts all logits above 0, where a repetition penalty of 2 halves them.
_LIFT = 30.0


def main() -> None:
    """Read one JSON object from stdin, and write one to stdout."""
    asked = json.load(sys.stdin)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = asked["model"]
    parameters.hostnames, parameters.port = ["127.0.0.1"], 0
    parameters.n_ctx, parameters.n_parallel = CONTEXT, 1
    parameters.verbosity, parameters.ui = 1, False
    # With a model this small, a second thread would only cost time.
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    probe = Probe(xllamacpp.Server(parameters), asked)
    print(json.dumps({case["name"]: probe.answer(case) for case in asked["cases"]}), flush=True)
    # The engine's threads may hang in their destructors.
    os._exit(0)


class Probe:
    """One server with the demo model."""

    def __init__(self, server: Any, asked: dict[str, Any]) -> None:
        self._server, self._asked = server, asked
        self._known: dict[tuple[int, ...], list[float]] = {}

    def answer(self, case: dict[str, Any]) -> list[Any]:
        """Return the steps of one case, each with the logits that the samplers got."""
        params, text = SamplingParams(**case["params"]), case["text"]
        own = self._model_logits(text)
        bias = [there - here for there, here in zip(self._asked["logits"][case["logits"]], own, strict=True)]
        body = completion_request(text, params, case["seed"], CONTEXT, ())
        steps = []
        # The server reports no end token and no byte that it holds back. In these cases, try another seed.
        tries = (
            self._entries({**body, "seed": body["seed"] + 1000 * number}, bias, case["steps"]) for number in range(50)
        )
        for entry in next(entries for entries in tries if len(entries) == case["steps"]):
            own = self._model_logits(text)
            kept = [[one["id"], one["prob"]] for one in entry["top_probs"] if one["prob"] > 0]
            given = [here + more for here, more in zip(own, bias, strict=True)]
            steps.append({"token": entry["id"], "kept": kept, "logits": given})
            text = [*text, entry["id"]]
        return steps

    def _model_logits(self, text: list[int]) -> list[float]:
        """Return the model's logits after `text`, [vocabulary]. The server reports them up to a constant. The constant
        follows from a repetition penalty, which halves logits above 0."""
        if (key := tuple(text)) in self._known:
            return self._known[key]
        size = self._asked["size"]
        neutral = completion_request(text, SamplingParams(), 1, CONTEXT, ())
        (entry,) = self._ask({**neutral, "n_predict": 1, "n_probs": size})
        shown = {one["id"]: one["logprob"] for one in entry["top_logprobs"]}
        logs = [shown[token] for token in range(size)]
        halved = completion_request(text, SamplingParams(repetition_penalty=2.0), 1, CONTEXT, ())
        (entry,) = self._entries(halved, [_LIFT - log for log in logs], 1)
        left = {one["id"]: one["prob"] for one in entry["top_probs"]}
        seen, unseen = text[-1], next(token for token in range(size) if token not in text)
        constant = 2 * math.log(left[unseen] / left[seen]) - _LIFT
        self._known[key] = [log + constant for log in logs]
        return self._known[key]

    def _entries(self, body: dict[str, Any], bias: list[float], steps: int) -> list[Any]:
        """Return the remaining tokens of each step, with `bias` on every token."""
        biases = [*([token, value] for token, value in enumerate(bias)), *body["logit_bias"]]
        shown = {"n_predict": steps, "n_probs": self._asked["size"], "post_sampling_probs": True}
        return self._ask({**body, **shown, "logit_bias": biases})

    def _ask(self, body: dict[str, Any]) -> list[Any]:
        answer = self._server.handle_completions({**body, "stream": False, "cache_prompt": False})
        logprobs = answer["choices"][0]["logprobs"]
        return list(logprobs["content"]) if logprobs else []


if __name__ == "__main__":
    main()
