"""A grammar as a filter of ExLlamaV2's sampler (exllamav2/generator/filters/base.py, version 0.3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modules.protocol.errors import PromptError

if TYPE_CHECKING:
    from torch import Tensor

    from modules.worker.hf.grammar import Follower


class GrammarRules:
    """The methods of a filter that the engine calls. `grammar_filter` adds those of the engine's class.

    An error in a filter would end all jobs of the batch, so none leaves it: `ended_at` raises it in its own request.
    """

    def follow(self, follower: Follower) -> None:
        """Use this grammar."""
        self._follower = follower
        self._problem: PromptError | None = None
        self._ended = False
        # Tokens that the grammar allowed. Those that follow, once it has ended, are no part of the reply.
        self._allowed = 0

    def ended_at(self, generated: int) -> bool:
        """Return True if the grammar allows no token after the first `generated`. Raises PromptError where it could not
        be followed any longer."""
        if generated < self._allowed:
            return False
        if self._problem:
            raise self._problem
        return self._ended

    def begin(self, prefix_str: str) -> None:
        """Start a reply. Called once, before its first token."""

    def can_mask_logits(self) -> bool:
        """Return True: the logits are changed directly, without a list of tokens."""
        return True

    def use_background_worker(self) -> bool:
        """Return True: the mask is computed while the card computes."""
        return True

    def prepare_logit_mask(self) -> bool:
        """Find what may come next."""
        if not self._over:
            try:
                self._follower.prepare()
            except PromptError as problem:
                self._problem = problem
        return True

    def mask_logits(self, logits: Tensor) -> Tensor:
        """Return logits [vocabulary] with those of tokens that are not allowed at minus infinity."""
        if self._over:
            return logits
        allowed = self._follower.step(logits)
        # Biases and bans came before. The sampler needs a token, which the request leaves out.
        if float(allowed.max()) == float("-inf"):
            self._ended = True
            return logits
        return allowed

    def feed(self, token: Any) -> None:
        """Go on with the chosen token, a number or a tensor with one."""
        if not self._over:
            self._follower.learn(int(token))
            self._allowed += 1

    @property
    def _over(self) -> bool:
        return self._ended or self._problem is not None


def grammar_filter(filters: Any, model: Any, tokenizer: Any, follower: Follower) -> Any:
    """Return a filter that follows a grammar. `filters`: the module exllamav2.generator.filters."""
    made = type("GrammarFilter", (GrammarRules, filters.ExLlamaV2Filter), {})(model, tokenizer)
    made.follow(follower)
    return made


def grammar_ended(job: Any, generated: int) -> bool:
    """Return True if the grammar of an engine's job allows no token after the first `generated`. Raises PromptError
    where it could not be followed any longer."""
    rules: list[GrammarRules] = job.filters
    return any(one.ended_at(generated) for one in rules)
