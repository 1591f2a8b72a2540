"""Operations on whole chats: create, find, put in order, delete, export and import."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from modules.chat.attached_files import AttachedFiles
from modules.chat.attachments.attachment_store import AttachmentStore
from modules.chat.attachments.model_images import ModelImages
from modules.chat.characters import Characters
from modules.chat.chat_organizer import ChatOrganizer
from modules.chat.chat_settings import ChatSettings
from modules.chat.chat_transfer import add_chats, export_chat
from modules.chat.folders import Folders
from modules.chat.import_export import read_chat
from modules.chat.imported_tree import ImportedChat
from modules.chat.knowledge.knowledge import Knowledge
from modules.chat.messages import ChatHead
from modules.chat.replies import Replies
from modules.chat.roleplay.actions import RoleplayActions
from modules.chat.roleplay.group_turns import GroupTurns
from modules.chat.roleplay.lorebooks import Lorebooks
from modules.chat.roleplay.personas import Personas
from modules.chat.store import ChatStore
from modules.plugins.manager import ExtensionManager
from modules.plugins.tools.toolbox import Toolbox
from modules.runtime.loaded_model import LoadedModel
from modules.system.listeners import Listeners


class ChatCollection:
    """All chats as a whole. `ChatService` has the operations on their messages. Thread-safe.

    `flush_seconds`: how often arriving text is stored. `extensions`: those whose hooks run. `images`: where
    models find images. `toolbox`: the tools that replies may call. `model_of(chat_id)`: the model that answers a chat.
    `knowledge`: the documents that replies may read.
    The files of messages, the personas and the lorebooks lie beside the chats. Owns `store` and closes it.
    Every method raises StorageError if the disk fails; then nothing of the change was stored.
    """

    def __init__(
        self,
        store: ChatStore,
        model: LoadedModel,
        characters: Characters,
        clock: Callable[[], float] = time.time,
        *,
        flush_seconds: float = 1.0,
        extensions: ExtensionManager | None = None,
        images: ModelImages | None = None,
        toolbox: Toolbox | None = None,
        model_of: Callable[[str], LoadedModel] | None = None,
        knowledge: Knowledge | None = None,
    ) -> None:
        self.store = store
        folder = store.database.path.parent
        self.attachments = AttachmentStore(folder / "attachments")
        self.files = AttachedFiles(self.attachments, model, images or ModelImages(folder / "model_images"))
        self._characters = characters
        self._clock = clock
        self._listeners = Listeners[Callable[[str], None]]()
        self.settings = ChatSettings(store.database)
        self.folders = Folders(store.database, self._listeners.notify, clock)
        self.order = ChatOrganizer(store, self._listeners.notify, clock)
        self.personas, self.lorebooks = Personas(folder / "personas"), Lorebooks(folder / "lorebooks")
        self._replies = Replies(
            store,
            model,
            characters,
            self._listeners.notify,
            flush_seconds,
            extensions,
            self.files,
            toolbox,
            model_of,
            knowledge,
            self.lorebooks,
        )
        self.summarizer = self._replies.summarizer
        self.roleplay = RoleplayActions(store, self._replies, characters, self._listeners.notify)
        self.group_turns = GroupTurns(store, self._replies, characters)
        self._listeners.add(self.group_turns.changed)

    def chats(self, search: str = "") -> list[ChatHead]:
        """Return the chats, latest first, with every word of `search` in their title or messages."""
        return self.store.heads(search)

    def trash(self) -> list[ChatHead]:
        """Return the deleted chats, which can be restored."""
        return self.store.heads(trash=True)

    def answering(self) -> set[str]:
        """Return the ids of the chats in which a reply is being written."""
        return self._replies.answering()

    def head(self, chat_id: str) -> ChatHead:
        """Return the chat's entry in the list."""
        return self.store.head(chat_id)

    def create(self, character: str = "", user: str = "You", *, temporary: bool = False) -> ChatHead:
        """Create a chat. A character's greetings are versions of its first message. Raises CharacterError.

        `temporary`: it is in memory only, until it is deleted or this process ends.
        """
        who = self._characters.load(character) if character else None
        head = self.store.create_chat(character=character, temporary=temporary)
        if who:
            self.roleplay.greet(head.id, character, who, user)
        self._listeners.notify(head.id)
        return head

    def set_character(self, chat_id: str, character: str, user: str = "You") -> None:
        """Let the chat have this character, "" for none. It greets where nothing was said. Raises CharacterError."""
        who = self._characters.load(character) if character else None
        if who and not self.store.path(chat_id):
            self.roleplay.greet(chat_id, character, who, user)
        self.order.set_character(chat_id, character)

    def rename(self, chat_id: str, title: str) -> None:
        """Set the chat's title. An empty one restores "New chat"."""
        self.store.rename(chat_id, " ".join(title.split())[:200])
        self._listeners.notify(chat_id)

    def delete_chat(self, chat_id: str) -> None:
        """Move the chat to the trash; a temporary one is gone. A reply that is being written in it is stopped."""
        self.stop(chat_id)
        if self.store.head(chat_id).temporary:
            self.purge(chat_id)
            return
        self.store.set_trash(chat_id, True)
        self._listeners.notify(chat_id)

    def purge(self, chat_id: str) -> None:
        """Delete a chat for ever, with the files that no other chat names. Raises PaddockError."""
        self.stop(chat_id)
        with self._replies.claim(chat_id):
            self.order.purge(chat_id)
        self.remove_unused_files()

    def keep(self, chat_id: str) -> ChatHead:
        """Store a temporary chat, and return the stored one. A reply that is being written in it is stopped."""
        self.stop(chat_id)
        with self._replies.claim(chat_id):
            return self.order.keep(chat_id)

    def restore_chat(self, chat_id: str) -> None:
        """Take the chat out of the trash."""
        self.store.set_trash(chat_id, False)
        self._listeners.notify(chat_id)

    def export(self, chat_id: str) -> dict[str, Any]:
        """Return the whole tree of the chat as a value for JSON, with its settings and files."""
        return export_chat(self.store, self.attachments, chat_id, self._replies.in_memory(chat_id))

    def import_chat(self, data: object) -> ChatHead:
        """Create a chat from a value of `export` or a history of text-generation-webui. Raises PaddockError."""
        return self.add_chats([read_chat(data, self._clock())])[0]

    def add_chats(self, chats: Sequence[ImportedChat]) -> list[ChatHead]:
        """Create the chats of a file that was read, all of them or none. Raises StorageError."""
        heads = add_chats(self.store, self.attachments, chats)
        for head in heads:
            self._listeners.notify(head.id)
        return heads

    def stop(self, chat_id: str) -> None:
        """Stop the reply that is being written, if there is one. Its text is kept."""
        self.group_turns.stop(chat_id)
        self._replies.stop(chat_id)

    def subscribe(self, chat_id: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` from any thread when the chat's messages or its live reply change, but not for each token.

        With "" for `chat_id`, call it when any chat changes. Return the function that removes the callback.
        """
        return self._listeners.add(lambda changed: callback() if chat_id in ("", changed) else None)

    def subscribe_ids(self, callback: Callable[[str], None]) -> Callable[[], None]:
        """Call `callback` with the id of each chat that changes, as `subscribe` does. Return what removes it."""
        return self._listeners.add(callback)

    def remove_unused_files(self) -> None:
        """Remove the attachments that no message names. None is removed while a damaged file of chats lies aside."""
        path = self.store.database.path
        if not any(path.parent.glob(f"{path.stem}-damaged-*")):
            self.attachments.remove_unused(self.store.named_files())

    def close(self) -> None:
        """Stop every reply, store what arrived, and close the store. Safe to call twice."""
        self._replies.close()
        self.store.close()
