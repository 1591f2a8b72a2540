"""Which model answers a chat: the page's current one, or the one that the chat names."""

from __future__ import annotations

from collections.abc import Callable

from modules.runtime.client_model import ClientModel
from modules.runtime.loaded_model import LoadedModel
from modules.runtime.model_pool import ModelPool
from modules.runtime.pending_model import PendingModel


class ChatModels:
    """Finds the models of chats among the loaded ones. `current`: the page's; `client`: whose chats they are, or "".

    `wanted(chat_id)` returns the name of the model that a chat names, or "".
    """

    def __init__(self, current: LoadedModel, pool: ModelPool, client: str, wanted: Callable[[str], str]) -> None:
        self._current = current
        self._pool = pool
        self._client = client
        self._wanted = wanted

    def of(self, chat_id: str) -> LoadedModel:
        """Return the model of a chat. If it is not loaded, each use of it raises ModelPending."""
        name = self._wanted(chat_id)
        if not name or name == self._current.state.model:
            return self._current
        found = self._pool.find(name)
        return ClientModel(found.supervisor, self._client) if found and found.ready else PendingModel(name)
