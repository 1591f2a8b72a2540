"""Perplexity of a model on another server, where the server reports the probabilities of a prompt's tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modules.app import App
from modules.jobs.job_spec import JobSpec
from modules.protocol.errors import PaddockError, Unsupported
from tests.loaders.test_remote_faults import load
from tests.support.strange_server import Strange, StrangeServer, models, strange

COMPLETIONS = "/v1/completions"
# Every token of the fake servers has this probability.
CHANCE = 0.25


@pytest.fixture
def server() -> Iterator[StrangeServer]:
    """Run a server without a tokenizer, which echoes prompts. Its tokens have three letters each."""
    with strange({"/v1/models": models("small"), COMPLETIONS: echo}) as server:
        server.answers["/v1/chat/completions"] = lambda request: request.texts("Hi")
        yield server


def echo(request: Strange) -> None:
    """Answer as OpenAI's API does to echo with logprobs: the prompt, then one more token."""
    if request.body.get("stream"):
        request.texts("Hi")
        return
    text = request.body["prompt"] + "abc"
    offsets = list(range(0, len(text), 3))
    scores = [None, *[math.log(CHANCE)] * (len(offsets) - 1)]
    logprobs = {"tokens": [text[at : at + 3] for at in offsets], "token_logprobs": scores, "text_offset": offsets}
    request.send({"choices": [{"text": text, "logprobs": logprobs}]})


def vllm(request: Strange) -> None:
    """Answer as vLLM does to prompt_logprobs."""
    tokens = request.body["prompt"]
    scores = [None, *({str(token): {"logprob": -float(token), "rank": 1}} for token in tokens[1:])]
    request.send({"choices": [{"text": "x", "prompt_logprobs": scores}]})


def test_vllm_scores_the_very_tokens(server: StrangeServer, tmp_path: Path) -> None:
    server.answers["/v1/models"] = models("small", owned_by="vllm", max_model_len=777)
    server.answers["/tokenize"] = lambda request: request.send({"tokens": [1]})
    server.answers[COMPLETIONS] = vllm
    engine, _ = load(server, tmp_path)
    found = engine.score([5, 6, 7, 8], 2, tmp_path / "none")
    assert found["log_probabilities"] == [-7.0, -8.0]
    assert (found["rows"], found["vocabulary"]) == (2, 0)
    assert not (tmp_path / "none").exists()


def test_an_echo_scores_the_servers_own_tokens_of_the_same_text(server: StrangeServer, tmp_path: Path) -> None:
    engine, _ = load(server, tmp_path)
    tokens = engine.tokenize("abcdef ghijkl", False)
    first = next(place for place in range(len(tokens)) if len(engine.detokenize(tokens[:place])) > 4)
    begin = len(engine.detokenize(tokens[:first]))
    found = engine.score(tokens, first, tmp_path / "none")["log_probabilities"]
    assert found == [math.log(CHANCE)] * len([at for at in range(0, 13, 3) if at >= begin])


def refuse(request: Strange) -> None:
    """Answer as llama.cpp's server does to echo."""
    request.send({"error": {"code": 400, "message": "Only no echo is supported"}}, status=400)


def ignore(request: Strange) -> None:
    """Answer as a server that knows neither parameter."""
    request.send({"choices": [{"text": "Hi", "logprobs": None}]})


@pytest.mark.parametrize("answer", [refuse, ignore])
def test_a_server_that_does_not_report_them_is_named(
    server: StrangeServer, tmp_path: Path, answer: Callable[[Strange], None]
) -> None:
    server.answers[COMPLETIONS] = answer
    engine, _ = load(server, tmp_path)
    with pytest.raises(Unsupported, match="does not report the probabilities of a prompt's tokens"):
        engine.score(engine.tokenize("some words here", False), 1, tmp_path / "none")


def test_a_server_that_is_not_allowed_to_answer_is_another_error(server: StrangeServer, tmp_path: Path) -> None:
    server.answers[COMPLETIONS] = lambda request: request.send({"error": {"message": "no key"}}, status=401)
    engine, _ = load(server, tmp_path)
    with pytest.raises(PaddockError) as caught:
        engine.score(engine.tokenize("some words here", False), 1, tmp_path / "none")
    assert not isinstance(caught.value, Unsupported)


@pytest.mark.parametrize("answer", [echo, refuse])
def test_evaluate_measures_what_the_server_gives(
    app: App, server: StrangeServer, answer: Callable[[Strange], None]
) -> None:
    def completions(request: Strange) -> None:
        request.texts("Hi") if request.body.get("stream") else answer(request)

    server.answers[COMPLETIONS] = completions
    (app.paths.models / "far.remote.yaml").write_text(f"address: {server.address}\n")
    spec = JobSpec("evaluate", "far.remote.yaml", settings={"tokens": "256", "window": "128", "stride": "64"})
    found = app.jobs.run(app.jobs.start(spec))
    if answer is echo:
        assert found["perplexity"] == pytest.approx(1 / CHANCE)
        assert found["tokens"] > 50
    else:
        assert found["perplexity"] is None
        assert any("does not report the probabilities" in note for note in found["notes"])
    assert (found["size_bytes"], found["bits_per_weight"], found["peak_bytes"]) == (None, None, None)
    assert {check["name"]: check["passed"] for check in found["checks"]}["answers"]
