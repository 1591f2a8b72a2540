"""Log-probabilities of a prompt's tokens, from servers that report them: vLLM's field, or OpenAI's echo with logprobs.

vLLM: vllm/entrypoints/openai/completion/protocol.py. OpenAI: /v1/completions of its API reference. llama.cpp's server
refuses echo.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loaders.remote.http_client import HttpClient
from loaders.remote.server_errors import ServerError
from modules.protocol.errors import Unsupported

# How servers answer a parameter that they do not know.
_REFUSALS = (400, 404, 405, 422, 500, 501)


def vllm_prompt_scores(remote: HttpClient, model: str, tokens: list[int], first: int) -> list[float]:
    """Return ln p(token | tokens before it) for each of `tokens[first:]`. Raises ServerError, Unsupported."""
    body = {"model": model, "prompt": tokens, "max_tokens": 1, "temperature": 0, "prompt_logprobs": 0}
    found = _ask(remote, body).get("prompt_logprobs")
    if not isinstance(found, list) or len(found) != len(tokens):
        raise no_prompt_scores(remote)
    return [float(entry[str(token)]["logprob"]) for token, entry in zip(tokens[first:], found[first:], strict=True)]


def echoed_prompt_scores(remote: HttpClient, model: str, prompt: str, start: int) -> list[float]:
    """Return ln p of each of the server's own tokens of `prompt[start:]`. Raises ServerError, Unsupported.

    The first token of a prompt has no probability. A token that begins before `start` is left out.
    """
    body = {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
    choice = _ask(remote, body)
    found = choice.get("logprobs")
    if not isinstance(found, dict) or not str(choice.get("text", "")).startswith(prompt):
        raise no_prompt_scores(remote)
    scores, offsets = found.get("token_logprobs"), found.get("text_offset")
    if not isinstance(scores, list) or not isinstance(offsets, list):
        raise no_prompt_scores(remote)
    return [
        float(score)
        for score, offset in zip(scores, offsets, strict=True)
        if start <= offset < len(prompt) and score is not None
    ]


def no_prompt_scores(remote: HttpClient) -> Unsupported:
    """Return the error for a server that does not report them."""
    return Unsupported(
        f"{remote.file.address} does not report the probabilities of a prompt's tokens, so perplexity cannot be "
        "measured there. vLLM's server reports them; or load the model's files here."
    )


def _ask(remote: HttpClient, body: Mapping[str, object]) -> dict[str, Any]:
    try:
        choice = remote.post(f"{remote.file.api}/completions", body)["choices"][0]
    except ServerError as failure:
        if failure.status in _REFUSALS:
            raise no_prompt_scores(remote) from None
        raise
    if not isinstance(choice, dict):
        raise TypeError("a choice that is no object")
    return choice
