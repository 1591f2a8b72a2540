"""A loaded model, as those see it who use it: generations, tokens, prompts, probabilities, vectors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from modules.generation.generation import Generation
from modules.protocol.commands import Generate
from modules.protocol.errors import Unsupported
from modules.protocol.events import ChatPromptResult, Finished, ModelInfo, RerankResult, TokenProbability
from modules.protocol.model_purpose import explain_wrong_task
from modules.protocol.sampling import SamplingParams
from modules.runtime.model_state import ModelState
from modules.runtime.model_worker import ModelWorker


class LoadedModel(ABC):
    """Passes commands to the worker of a loaded model.

    Every method raises PaddockError if no model is loaded, and Unsupported if the model is not made for that.
    """

    @property
    @abstractmethod
    def state(self) -> ModelState:
        """The model's state."""

    def loaded(self) -> ModelInfo:
        """Return what the worker reported about the loaded model."""
        self.worker()
        assert self.state.info is not None
        return self.state.info

    @abstractmethod
    def worker(self) -> ModelWorker:
        """Return the worker. Raise PaddockError if its model is not loaded."""

    def worker_for(self, task: str) -> ModelWorker:
        """Return the worker for a task: "generate", "embed" or "rerank". Raise Unsupported if the model is not made for
        it."""
        worker = self.worker()
        facts = worker.request.facts
        if why := explain_wrong_task(task, facts.name, facts.purpose, facts.architecture):
            raise Unsupported(why)
        return worker

    def generate(
        self, prompt: str, params: SamplingParams, hooks: bool = True, client: str = "", top_logprobs: int = -1
    ) -> Generation:
        """Begin a generation and return at once. Generations beyond the engine's slots are queued; clients take turns.

        `hooks`: run the extensions' hooks in the worker. `client`: of the API, "" for the page. `top_logprobs`: as in
        Generate.logprobs. Raises PaddockError, QueueFull if too many wait.
        """
        worker = self.worker_for("generate")
        return self._began(worker, worker.client.generate(prompt, params, hooks, client, top_logprobs))

    def generate_chat(self, chat: Generate, opening: bool = False, client: str = "") -> Generation:
        """Begin the reply to a chat, and return once the worker has made the prompt from its messages.

        Generations beyond the engine's slots are queued; clients take turns. `opening`: the reasoning that the prompt
        begins is the beginning of the text. `client`: of the API, "" for the page. Raises PromptError where no prompt
        can be made, else PaddockError.
        """
        worker = self.worker_for("generate")
        return self._began(worker, worker.client.generate_chat(chat, opening, client))

    def _began(self, worker: ModelWorker, generation: Generation) -> Generation:
        generation.model = worker.request.facts.name
        return generation

    def last_finished(self) -> Finished | None:
        """Return how the loaded model's last generation ended, or None before the first. Raise PaddockError."""
        return self.worker().client.queue.last

    def tokenize(self, text: str, special: bool = False) -> list[int]:
        """Return the token ids of `text`. `special`: parse special tokens in it."""
        return self.worker().tokenize(text, special)

    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of these tokens."""
        return self.worker().detokenize(tokens)

    def chat_prompt(
        self,
        messages: Sequence[Mapping[str, object]],
        template: str = "",
        continue_last: bool = False,
        variables: Mapping[str, object] | None = None,
    ) -> ChatPromptResult:
        """Render a chat with the model's template, or with `template`. Raise PromptError."""
        return self.worker().chat_prompt(messages, template, continue_last, dict(variables or {}))

    def next_token_probabilities(self, prompt: str, top: int = 20) -> list[TokenProbability]:
        """Return the `top` likeliest next tokens: [{"token", "text", "probability"}]."""
        return self.worker_for("generate").next_token_probabilities(prompt, top)

    def embed(self, inputs: list[str | list[int]]) -> tuple[list[list[float]], int]:
        """Return a vector of length 1 for each text or list of token ids, and the number of tokens."""
        return self.worker_for("embed").embed(inputs)

    def rerank(self, query: str, documents: list[str]) -> RerankResult:
        """Return how well each document answers the query."""
        return self.worker_for("rerank").rerank(query, documents)
