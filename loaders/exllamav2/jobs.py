"""Make the generator's jobs from requests: sampling, guidance, biases and stop tokens."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

from loaders.exllamav2.grammar_filter import grammar_filter
from loaders.exllamav2.loaded_model import LoadedModel
from loaders.exllamav2.sampler_settings import breaker_tokens, sampler_settings
from modules.protocol.errors import OutOfMemory, PromptError, Unsupported
from modules.protocol.sampling import SamplingParams
from modules.worker.exllama.lengths import round_up_to_pages
from modules.worker.hf.folder_tokenizer import FolderTokenizer
from modules.worker.llama.sampler_settings import token_biases

if TYPE_CHECKING:
    from exllamav2.generator import ExLlamaV2DynamicJob
    from torch import Tensor

    from modules.worker.hf.grammar import Follower


class JobFactory:
    """Makes jobs for the generator of one loaded model. Only the batcher's thread may call it."""

    def __init__(self, exl: ModuleType, torch: ModuleType, loaded: LoadedModel, tokens: FolderTokenizer) -> None:
        """`exl` and `torch` are the imported modules exllamav2 and torch."""
        self._exl = exl
        self._torch = torch
        self._loaded = loaded
        self._tokens = tokens
        self._breakers: dict[tuple[str, ...], set[int]] = {}

    def make(
        self, tokens: list[int], params: SamplingParams, seed: int, longest: int, follower: Follower | None = None
    ) -> ExLlamaV2DynamicJob:
        """Return a job that continues the prompt `tokens` by at most `longest` tokens. `follower`: of its grammar.

        Raises PromptError, OutOfMemory and Unsupported.
        """
        generator = self._loaded.generator
        if generator.use_ngram_draft and len(tokens) < generator.max_ngram - 1:
            raise PromptError(
                f"Draft from the text needs a prompt of {generator.max_ngram - 1} tokens. Write more, or switch it off."
            )
        ids = [self._row(tokens)]
        fields = sampler_settings(params, self._loaded.model.config.vocab_size)
        if params.guidance_scale != 1:
            ids.append(self._row(self._negative_prompt(tokens, params, longest)))
        else:
            fields.pop("cfg_scale", None)
        if len(tokens) == 1:
            # With a range, apply_dry looks for a text's first token in a list that is empty for one token.
            fields["dry_range"] = 0
        sampler = self._exl.generator.ExLlamaV2Sampler.Settings(**fields)
        sampler.token_bias = self._bias(params)
        if params.dry_multiplier > 0:
            sampler.dry_sequence_breakers = self._breaker_tokens(tuple(params.dry_sequence_breakers))
        sampler.xtc_ignore_tokens = frozenset()
        return self._exl.generator.ExLlamaV2DynamicJob(
            input_ids=ids,
            # With drafts the generator stops this many tokens early.
            max_new_tokens=longest + generator.num_draft_tokens,
            gen_settings=sampler,
            seed=seed,
            stop_conditions=[] if params.ban_eos_token else list(self._tokens.ends),
            filters=self._filters(follower),
            token_healing=False,
            decode_special_tokens=True,
        )

    def _filters(self, follower: Follower | None) -> list[Any]:
        if follower is None:
            return []
        loaded, kinds = self._loaded, self._exl.generator.filters
        return [grammar_filter(kinds, loaded.model, loaded.own_tokenizer, follower)]

    def _negative_prompt(self, tokens: list[int], params: SamplingParams, longest: int) -> list[int]:
        if problem := self.guidance_problem():
            raise Unsupported(f"{problem} Set Guidance scale to 1.")
        negative = self._tokens.tokenize(params.negative_prompt or " ", True)
        # The generator checks each text alone, and a job that never fits would wait forever.
        if sum(round_up_to_pages(len(one) + longest) for one in (tokens, negative)) > self._loaded.cache.max_seq_len:
            raise OutOfMemory(
                "Guidance needs cache for a second text, and the two do not fit. Lower Maximum new tokens, raise Cache "
                "size, or set Guidance scale to 1."
            )
        return negative

    def guidance_problem(self) -> str:
        """Return why guidance is not available with the present settings; "" if it is."""
        generator = self._loaded.generator
        if not generator.paged:
            return "Guidance needs flash-attn in this loader's environment."
        # A draft belongs to a job, and a guided job has two texts.
        return "Guidance cannot be combined with drafts." if generator.num_draft_tokens else ""

    def _row(self, tokens: list[int]) -> Tensor:
        return self._torch.tensor([tokens], dtype=self._torch.long)

    def _bias(self, params: SamplingParams) -> Tensor | None:
        """Return what is added to the logits, of shape [padded vocabulary] on the CPU; None for nothing."""
        found = dict(token_biases(params))
        if params.ban_eos_token:
            found.update(dict.fromkeys(self._tokens.ends, float("-inf")))
        size = self._loaded.generator.padded_vocab_size
        known = {token: bias for token, bias in found.items() if 0 <= token < size}
        if not known:
            return None
        bias = self._torch.zeros((size,), dtype=self._torch.float)
        for token, value in known.items():
            bias[token] = value
        return bias

    def _breaker_tokens(self, texts: tuple[str, ...]) -> set[int]:
        if texts not in self._breakers:
            pieces = self._loaded.own_tokenizer.get_id_to_piece_list(True)
            self._breakers[texts] = breaker_tokens(pieces, texts)
        return self._breakers[texts]
