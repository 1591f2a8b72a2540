"""One chat out of the store as a value for JSON, and in again: its tree, its files, its settings and its place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules.chat.attachments.attachment_store import AttachmentStore
from modules.chat.chat_organizer import ChatOrganizer
from modules.chat.chat_settings import ChatSettings
from modules.chat.database import StorageError
from modules.chat.embedded_files import embed_files, unpack_files
from modules.chat.folders import Folders
from modules.chat.import_export import write_chat
from modules.chat.imported_tree import ImportedChat
from modules.chat.messages import ChatHead
from modules.chat.parts import to_json
from modules.chat.reply import Reply
from modules.chat.store import ChatStore


def export_chat(
    store: ChatStore, files: AttachmentStore, chat_id: str, in_memory: Mapping[str, Reply] | None = None
) -> dict[str, Any]:
    """Return a chat as a value for JSON. `in_memory`: replies whose text is not all in the store, by message id."""
    head, tree = store.head(chat_id), store.tree(chat_id)
    for entry in tree:
        if reply := (in_memory or {}).get(entry["id"]):
            entry.update(parts=to_json(reply.parts), meta=reply.current_meta())
    folder = Folders(store.database, _ignore).of_chat(chat_id)
    settings = ChatSettings(store.database).get(chat_id)
    place = {
        "settings": settings,
        "folder": folder.name if folder else "",
        "tags": list(head.tags),
        "pinned": head.pinned,
        "archived": head.archived,
        "created": head.created,
    }
    kept = {name: value for name, value in place.items() if value}
    return write_chat(head.own_title, head.character, tree, embed_files(files, tree), kept)


def add_chats(store: ChatStore, files: AttachmentStore, chats: Sequence[ImportedChat]) -> list[ChatHead]:
    """Create the chats of a file that was read, all of them or none, and put each where it was.

    A folder that is missing is created. Raises StorageError, whose sentence says that none was imported.
    """
    for chat in chats:
        unpack_files(files, chat)
    try:
        with store.database.change():
            return [_add(store, chat) for chat in chats]
    except StorageError as error:
        raise StorageError(f"No chat of this file was imported. {error.message}", detail=error.detail) from error


def _add(store: ChatStore, chat: ImportedChat) -> ChatHead:
    new = store.add_tree(chat.messages, chat.title, chat.character, chat.settings).id
    order, folders = ChatOrganizer(store, _ignore), Folders(store.database, _ignore)
    if chat.tags:
        order.tag(new, chat.tags)
    if chat.folder:
        folders.move(new, folders.named(chat.folder).id)
    if chat.pinned:
        order.pin(new, True)
    if chat.archived:
        order.archive(new, True)
    if chat.created:
        with store.database.change() as connection:
            connection.execute("UPDATE chats SET created = ? WHERE id = ?", (chat.created, new))
    return store.head(new)


def _ignore(chat_id: str) -> None:
    """Notify no page of the single steps."""
