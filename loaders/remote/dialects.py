"""The differences between kinds of servers: tokenizer, sampling parameters, and facts about the model."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from loaders.remote.http_client import HttpClient
from loaders.remote.prompt_scores import echoed_prompt_scores, vllm_prompt_scores
from loaders.remote.token_estimate import estimate_tokens, join_tokens
from modules.families.llama_cpp import SAMPLERS as LLAMA_CPP
from modules.protocol.errors import Unsupported
from modules.protocol.json_schema import parse_json_schema
from modules.protocol.sampling import ALWAYS_HONOURED, SamplingParams
from modules.protocol.schema import changed_values
from modules.worker.llama.sampler_settings import (
    dry_breakers,
    penalty_range,
    server_json_schema,
    server_sampler_chain,
    temperature,
    token_biases,
)

_COMMON = frozenset({"temperature", "do_sample", "top_p", "frequency_penalty", "presence_penalty"})
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
    notes: list[str] = field(default_factory=list)


class OpenAi:
    """Any OpenAI-compatible server: no tokenizer, few samplers, and it renders chats."""

    title = "an OpenAI-compatible server"
    samplers: frozenset[str] = _COMMON | {"logit_bias", "custom_token_bans", "json_schema"}
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
        sees = entry.get("sees_images")  # of another Paddock
        return ModelDescription(
            context=length if isinstance(length, int) else 0, sees_images=sees if isinstance(sees, bool) else None
        )

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Return the token ids of `text`, an estimate if the server has no tokenizer."""
        return estimate_tokens(text)

    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of a result of `tokenize`."""
        return join_tokens(tokens)

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

    def probabilities(self, tokens: list[int], top: int) -> list[dict[str, Any]]:
        """Return the likeliest next tokens, in the form of NextTokenProbabilities. Raises Unsupported."""
        raise Unsupported("This server does not provide next-token probabilities. Load a local model for them.")

    def prompt_scores(self, tokens: list[int], first: int) -> list[float]:
        """Return ln p of the text that `tokens[first:]` stand for, for each of the server's tokens of it.

        Raises ServerError, and Unsupported where the server does not report them.
        """
        return echoed_prompt_scores(
            self.remote, self.model, self.detokenize(tokens), len(self.detokenize(tokens[:first]))
        )

    def logprobs(self, count: int, is_chat: bool) -> dict[str, Any]:
        """Return the fields that ask for the log-probabilities of tokens, and `count` of the likeliest ones."""
        return {"logprobs": True, "top_logprobs": count} if is_chat else {"logprobs": count}

    def chat(self, open_end: bool) -> dict[str, Any]:
        """Return the fields of a chat request besides its messages. `open_end`: continue its last message."""
        return {}


class Tgi(OpenAi):
    """Text Generation Inference."""

    title = "Text Generation Inference"
    samplers = _COMMON
    seeds = True

    def about(self, entry: dict[str, Any]) -> ModelDescription:
        info = self.remote.get(f"{self.remote.file.root}/info")
        return ModelDescription(
            context=int(info.get("max_total_tokens") or 0), dtype=str(info.get("model_dtype") or "")
        )


class Vllm(OpenAi):
    """vLLM's server."""

    title = "vLLM"
    samplers = OpenAi.samplers | {"top_k", "min_p", "repetition_penalty", "ban_eos_token"}
    continues = True
    seeds = True
    counts = True

    def tokenize(self, text: str, special: bool) -> list[int]:
        body = {"model": self.model, "prompt": text, "add_special_tokens": special}
        return list(self.remote.post(f"{self.remote.file.root}/tokenize", body)["tokens"])

    def detokenize(self, tokens: list[int]) -> str:
        body = {"model": self.model, "tokens": tokens}
        return str(self.remote.post(f"{self.remote.file.root}/detokenize", body)["prompt"])

    def prompt(self, tokens: list[int]) -> Any:
        return tokens

    def sampling(self, params: SamplingParams, seed: int, context: int) -> dict[str, Any]:
        return {
            **super().sampling(params, seed, context),
            "top_k": params.top_k,
            "min_p": params.min_p,
            "repetition_penalty": params.repetition_penalty,
            "ignore_eos": params.ban_eos_token,
            "skip_special_tokens": params.skip_special_tokens,
        }

    def probabilities(self, tokens: list[int], top: int) -> list[dict[str, Any]]:
        body = {"model": self.model, "prompt": tokens, "max_tokens": 1, "temperature": 1, "logprobs": top}
        answer = self.remote.post(f"{self.remote.file.api}/completions", {**body, "return_tokens_as_token_ids": True})
        found = answer["choices"][0]["logprobs"]["top_logprobs"][0]
        chances = [(int(name.removeprefix("token_id:")), math.exp(chance)) for name, chance in found.items()]
        ranked = sorted(chances, key=lambda pair: -pair[1])[:top]
        return [{"token": token, "text": self.detokenize([token]), "probability": chance} for token, chance in ranked]

    def prompt_scores(self, tokens: list[int], first: int) -> list[float]:
        return vllm_prompt_scores(self.remote, self.model, tokens, first)

    def chat(self, open_end: bool) -> dict[str, Any]:
        return {"continue_final_message": True, "add_generation_prompt": False} if open_end else {}


class LlamaServer(OpenAi):
    """llama.cpp's server. Its /props has the model's chat template, so chats are rendered here."""

    title = "llama.cpp's server"
    samplers = LLAMA_CPP
    continues = True
    seeds = True
    counts = True

    def about(self, entry: dict[str, Any]) -> ModelDescription:
        props = self.remote.get(f"{self.remote.file.root}/props")
        meta = entry.get("meta") or {}
        template = str(props.get("chat_template") or "")
        return ModelDescription(
            context=int((props.get("default_generation_settings") or {}).get("n_ctx") or meta.get("n_ctx") or 0),
            trained_context=int(meta.get("n_ctx_train") or 0),
            parameters=int(meta.get("n_params") or 0),
            dtype=str(meta.get("ftype") or ""),
            template=template,
            template_source="the server (/props)" if template else "",
            bos=str(props.get("bos_token") or ""),
            eos=str(props.get("eos_token") or ""),
            slots=int(props.get("total_slots") or 0),
            sees_images=(props.get("modalities") or {}).get("vision"),
        )

    def tokenize(self, text: str, special: bool) -> list[int]:
        body = {"content": text, "add_special": special, "parse_special": special}
        return list(self.remote.post(f"{self.remote.file.root}/tokenize", body)["tokens"])

    def detokenize(self, tokens: list[int]) -> str:
        return str(self.remote.post(f"{self.remote.file.root}/detokenize", {"tokens": tokens})["content"])

    def prompt(self, tokens: list[int]) -> Any:
        return tokens

    def sampling(self, params: SamplingParams, seed: int, context: int) -> dict[str, Any]:
        heat = temperature(params)
        samplers, min_p = server_sampler_chain(params)
        body: dict[str, Any] = {
            "cache_prompt": True,
            "seed": seed,
            "samplers": samplers,
            "min_p": min_p,
            "temperature": heat.middle,
            "dynatemp_range": heat.reach,
            "repeat_penalty": params.repetition_penalty,
            "repeat_last_n": penalty_range(params, context),
            "dry_penalty_last_n": penalty_range(params, context),
            "dry_sequence_breakers": dry_breakers(params),
            "mirostat": params.mirostat_mode if heat.middle > 0 else 0,
            "ignore_eos": params.ban_eos_token,
            "logit_bias": [
                [token, False if bias == -math.inf else bias] for token, bias in token_biases(params).items()
            ],
        }
        body.update({name: getattr(params, name) for name in _SAME_IN_LLAMA_CPP})
        if params.grammar_string:
            body["grammar"] = params.grammar_string
        if (schema := server_json_schema(params)) is not None:
            body["json_schema"] = schema
        return body

    def probabilities(self, tokens: list[int], top: int) -> list[dict[str, Any]]:
        body = {"prompt": tokens, "n_predict": 1, "n_probs": top, "samplers": [], "temperature": 1.0}
        answer = self.remote.post(f"{self.remote.file.root}/completion", body)
        return [
            {"token": entry["id"], "text": entry["token"], "probability": math.exp(entry["logprob"])}
            for entry in answer["completion_probabilities"][0]["top_logprobs"]
        ]


_SAME_IN_LLAMA_CPP = (
    "dynatemp_exponent",
    "top_k",
    "top_p",
    "typical_p",
    "top_n_sigma",
    "xtc_probability",
    "xtc_threshold",
    "adaptive_target",
    "adaptive_decay",
    "frequency_penalty",
    "presence_penalty",
    "dry_multiplier",
    "dry_base",
    "dry_allowed_length",
    "mirostat_tau",
    "mirostat_eta",
)


class Paddock(OpenAi):
    """Another Paddock, which has the same parameter names."""

    title = "another Paddock"
    samplers = frozenset(asdict(SamplingParams())) - ALWAYS_HONOURED
    seeds = True

    def sampling(self, params: SamplingParams, seed: int, context: int) -> dict[str, Any]:
        token_biases(params)  # What cannot be read is refused here, in our own words.
        ours = {name: value for name, value in changed_values(params).items() if name not in ("stop", "max_new_tokens")}
        return {**ours, "seed": seed}


DIALECTS: dict[str, type[OpenAi]] = {
    "openai": OpenAi,
    "vllm": Vllm,
    "llama.cpp": LlamaServer,
    "tgi": Tgi,
    "paddock": Paddock,
}
