"""A loaded model as one client of the API uses it."""

from __future__ import annotations

from modules.generation.generation import Generation
from modules.protocol.commands import Generate
from modules.protocol.sampling import SamplingParams
from modules.runtime.loaded_model import LoadedModel
from modules.runtime.model_state import ModelState
from modules.runtime.model_worker import ModelWorker
from modules.runtime.supervisor import Supervisor


class ClientModel(LoadedModel):
    """The model of a supervisor. Generations that are started here take turns with those of other clients."""

    def __init__(self, supervisor: Supervisor, client: str) -> None:
        self._supervisor = supervisor
        self._client = client

    @property
    def state(self) -> ModelState:
        """The model's state."""
        return self._supervisor.state

    def worker(self) -> ModelWorker:
        """Return the worker. Raise PaddockError if no model is loaded."""
        return self._supervisor.worker()

    def generate(
        self, prompt: str, params: SamplingParams, hooks: bool = True, client: str = "", top_logprobs: int = -1
    ) -> Generation:
        """Begin a generation of this client, as LoadedModel says."""
        return self._supervisor.generate(prompt, params, hooks, client or self._client, top_logprobs)

    def generate_chat(self, chat: Generate, opening: bool = False, client: str = "") -> Generation:
        """Begin a reply for this client, as LoadedModel says."""
        return self._supervisor.generate_chat(chat, opening, client or self._client)
