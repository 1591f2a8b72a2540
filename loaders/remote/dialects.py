"""The differences between kinds of servers: tokenizer, sampling parameters, and facts about the model."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import asdict
from typing import Any

from loaders.remote.openai_dialect import COMMON_SAMPLERS, ModelDescription, OpenAi
from loaders.remote.prompt_scores import vllm_prompt_scores
from loaders.remote.server_errors import ServerError
from modules.families.llama_cpp import SAMPLERS as LLAMA_CPP
from modules.protocol.events import TokenProbability
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


class Tgi(OpenAi):
    """Text Generation Inference."""

    title = "Text Generation Inference"
    samplers = COMMON_SAMPLERS
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

    def probabilities(self, tokens: list[int], top: int) -> list[TokenProbability]:
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
            hears_audio=(props.get("modalities") or {}).get("audio"),
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

    def probabilities(self, tokens: list[int], top: int) -> list[TokenProbability]:
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

    def about(self, entry: dict[str, Any]) -> ModelDescription:
        context = entry.get("context")
        return dataclasses.replace(super().about(entry), context=context if isinstance(context, int) else 0)

    def vocabulary(self, sample: str) -> list[int] | None:
        try:
            tokens = self.remote.post(f"{self.remote.file.root}/v1/internal/encode", {"text": sample})["tokens"]
        except (ServerError, KeyError, TypeError):
            return None
        return tokens if isinstance(tokens, list) else None

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
