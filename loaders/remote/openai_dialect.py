"""What Paddock expects of any OpenAI-compatible server. Other kinds of servers can do more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loaders.remote.embeddings import embeddings
from loaders.remote.http_client import HttpClient
from loaders.remote.prompt_scores import echoed_prompt_scores
from loaders.remote.token_estimate import estimate_tokens, join_tokens
from modules.protocol.errors import Unsupported
from modules.protocol.events import TokenProbability
from modules.protocol.json_schema import parse_json_schema
from modules.protocol.sampling import SamplingParams
from modules.worker.llama.sampler_settings import temperature, token_biases

COMMON_SAMPLERS = frozenset({"temperature", "do_sample", "top_p", "frequency_penalty", "presence_penalty"})
# The limit of OpenAI's API for a logit bias, which in effect bans or forces a token.
_FARTHEST_BIAS = 100.0
# Servers do not accept 0, which means only the likeliest token.
_LEAST_TOP_P = 1e-6


@dataclass(frozen=True)
class ModelDescription:
    """What a server says about its model; 0, "" and None are unknown."""

    context: int = 0
    trained_context: int = 0
    parameters: int = 0
    dtype: str = ""
    template: str = ""
    template_source: str = ""
    bos: str = ""
    eos: str = ""
    slots: int = 0
    sees_images: bool | None = None
    hears_audio: bool | None = None
    notes: list[str] = field(default_factory=list)


class OpenAi:
    """Any OpenAI-compatible server: no tokenizer, few samplers, and it renders chats."""

    title = "an OpenAI-compatible server"
    samplers: frozenset[str] = COMMON_SAMPLERS | {"logit_bias", "custom_token_bans", "json_schema"}
    # True if it can continue an unfinished reply when it renders the chat.
    continues = False
    # True if a reply can be repeated with a seed, which is drawn here and sent.
    seeds = False
    counts = False

    def __init__(self, remote: HttpClient, model: str) -> None:
        self.remote, self.model = remote, model

    def about(self, entry: dict[str, Any]) -> ModelDescription:
        """Return what is known about the model. `entry` is the server's list entry for it."""
        length = entry.get("max_model_len") or entry.get("context_length") or entry.get("context_window")
        sees, hears = entry.get("sees_images"), entry.get("hears_audio")  # of another Paddock
        return ModelDescription(
            context=length if isinstance(length, int) and length > 1 else 0,
            sees_images=sees if isinstance(sees, bool) else None,
            hears_audio=hears if isinstance(hears, bool) else None,
        )

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Return the token ids of `text`, an estimate if the server has no tokenizer."""
        return estimate_tokens(text)

    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of a result of `tokenize`."""
        return join_tokens(tokens)

    def vocabulary(self, sample: str) -> list[int] | None:
        """Return the model's own tokens of a text; None if the server does not say them. Raises ServerError."""
        return self.tokenize(sample, False) if self.counts else None

    def prompt(self, tokens: list[int]) -> Any:
        """Return these tokens as a prompt for /completions."""
        return self.detokenize(tokens)

    def sampling(self, params: SamplingParams, seed: int, context: int) -> dict[str, Any]:
        """Return the sampling parameters of a request. Raises PromptError."""
        body: dict[str, Any] = {
            "temperature": temperature(params).middle,
            "top_p": max(params.top_p, _LEAST_TOP_P),
            "frequency_penalty": params.frequency_penalty,
            "presence_penalty": params.presence_penalty,
        }
        if found := token_biases(params):
            body["logit_bias"] = {
                str(token): max(-_FARTHEST_BIAS, min(_FARTHEST_BIAS, bias)) for token, bias in found.items()
            }
        if (schema := parse_json_schema(params)) is not None:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}}
        if seed >= 0:
            body["seed"] = seed
        return body

    def probabilities(self, tokens: list[int], top: int) -> list[TokenProbability]:
        """Return the likeliest next tokens, in the form of NextTokenProbabilities. Raises Unsupported."""
        raise Unsupported("This server does not provide next-token probabilities. Load a local model for them.")

    def prompt_scores(self, tokens: list[int], first: int) -> list[float]:
        """Return ln p of the text that `tokens[first:]` stand for, for each of the server's tokens of it.

        Raises ServerError, and Unsupported where the server does not report them.
        """
        return echoed_prompt_scores(
            self.remote, self.model, self.detokenize(tokens), len(self.detokenize(tokens[:first]))
        )

    def embed(self, inputs: Sequence[str | list[int]]) -> list[list[float]]:
        """Return a vector for each text or list of token ids. Raises ServerError, Unsupported."""
        return embeddings(self.remote, self.model, inputs)

    def logprobs(self, count: int, is_chat: bool) -> dict[str, Any]:
        """Return the fields that ask for the log-probabilities of tokens, and `count` of the likeliest ones."""
        return {"logprobs": True, "top_logprobs": count} if is_chat else {"logprobs": count}

    def chat(self, open_end: bool) -> dict[str, Any]:
        """Return the fields of a chat request besides its messages. `open_end`: continue its last message."""
        return {}
