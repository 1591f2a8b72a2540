"""Open the chats of one account."""

from __future__ import annotations

from pathlib import Path

from modules.chat.attachments.model_images import ModelImages
from modules.chat.characters import Characters
from modules.chat.chat_models import ChatModels
from modules.chat.knowledge.knowledge import Knowledge
from modules.chat.service import ChatService
from modules.chat.store import ChatStore
from modules.plugins.manager import ExtensionManager
from modules.plugins.tools.toolbox import Toolbox
from modules.runtime.loaded_model import LoadedModel
from modules.runtime.model_pool import ModelPool


def open_chats(
    path: Path,
    model: LoadedModel,
    pool: ModelPool,
    client: str,
    characters: Characters,
    extensions: ExtensionManager,
    images: ModelImages,
    toolbox: Toolbox,
    knowledge: Knowledge,
) -> ChatService:
    """Open the database at `path`. Raises StorageError.

    `model`: the page's; chats that name another one use it where `pool` has it loaded. `client`: the account, "" for
    the owner.
    """

    def wanted(chat_id: str) -> str:
        return str(chats.settings.get(chat_id).get("model") or "")

    models = ChatModels(model, pool, client, wanted)
    chats = ChatService(
        ChatStore(path),
        model,
        characters,
        extensions=extensions,
        images=images,
        toolbox=toolbox,
        model_of=models.of,
        knowledge=knowledge,
    )
    chats.remove_unused_files()
    return chats
