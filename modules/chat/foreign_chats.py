"""Reads chats that other programs exported: SillyTavern, ChatGPT and Open WebUI. Every version and branch is kept."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from modules.chat.imported_tree import ImportedChat, ImportedTree

_ROLES = frozenset({"system", "user", "assistant"})


def is_sillytavern(lines: Sequence[object]) -> bool:
    """Return True if the lines of a JSONL file are a chat of SillyTavern."""
    first = lines[0] if lines else None
    return isinstance(first, Mapping) and bool({"chat_metadata", "user_name", "character_name"} & set(first))


def read_sillytavern(lines: Sequence[object], now: float) -> ImportedChat:
    """Return the chat of a JSONL file: a line about the chat, then one for each message. Swipes become versions."""
    head = lines[0]
    tree = ImportedTree(now)
    parent: str | None = None
    for number, line in enumerate(lines[1:]):
        if not isinstance(line, Mapping):
            continue
        role = "system" if line.get("is_system") else "user" if line.get("is_user") else "assistant"
        texts, shown = [line.get("mes")], 0
        swipes, chosen = line.get("swipes"), line.get("swipe_id")
        if isinstance(swipes, list) and isinstance(chosen, int) and 0 <= chosen < len(swipes):
            texts, shown = swipes, chosen
        below = parent
        for version, text in enumerate(texts):
            id = f"{number}.{version}"
            if tree.add(id, below, role, text, _moment(line.get("send_date"))) and version == shown:
                parent = id
    tree.show(parent)
    name = head.get("character_name") if isinstance(head, Mapping) else None
    return tree.finish("", name if isinstance(name, str) else "")


def is_chatgpt(entry: object) -> bool:
    """Return True if an object is a conversation of ChatGPT's export."""
    return isinstance(entry, Mapping) and isinstance(entry.get("mapping"), Mapping)


def read_chatgpt(entry: Mapping[str, object], now: float) -> ImportedChat:
    """Return one conversation of ChatGPT's `conversations.json`. Calls of its tools are left out."""
    tree = ImportedTree(now)
    mapping = entry["mapping"]
    assert isinstance(mapping, Mapping)
    for id, node in mapping.items():
        if not isinstance(node, Mapping):
            continue
        message = node.get("message")
        message = message if isinstance(message, Mapping) else {}
        author, metadata, content = message.get("author"), message.get("metadata"), message.get("content")
        role = author.get("role") if isinstance(author, Mapping) else None
        hidden = isinstance(metadata, Mapping) and metadata.get("is_visually_hidden_from_conversation")
        text = "" if hidden or role not in _ROLES else _chatgpt_text(content)
        tree.add(str(id), node.get("parent"), str(role), text, message.get("create_time"))
    tree.show(entry.get("current_node"))
    return tree.finish(entry.get("title"))


def _chatgpt_text(content: object) -> str:
    if not isinstance(content, Mapping) or content.get("content_type") not in ("text", "multimodal_text"):
        return ""
    parts = content.get("parts")
    texts = [part for part in parts if isinstance(part, str)] if isinstance(parts, list) else []
    return "\n\n".join(text for text in texts if text.strip())


def is_openwebui(entry: object) -> bool:
    """Return True if an object is a chat of Open WebUI's export."""
    chat = entry.get("chat") if isinstance(entry, Mapping) else None
    return isinstance(chat, Mapping) and ("history" in chat or "messages" in chat)


def read_openwebui(entry: Mapping[str, object], now: float) -> ImportedChat:
    """Return one chat of Open WebUI's export."""
    chat = entry["chat"]
    assert isinstance(chat, Mapping)
    tree = ImportedTree(now)
    history = chat.get("history")
    messages = history.get("messages") if isinstance(history, Mapping) else None
    if isinstance(history, Mapping) and isinstance(messages, Mapping):
        for id, message in messages.items():
            if isinstance(message, Mapping):
                text = _joined(message.get("content"))
                tree.add(str(id), message.get("parentId"), str(message.get("role")), text, message.get("timestamp"))
        tree.show(history.get("currentId"))
    else:
        add_list(tree, chat.get("messages"))
    return tree.finish(entry.get("title") or chat.get("title"))


def add_list(tree: ImportedTree, messages: object) -> None:
    """Add a list of {role, content} to an empty tree, each below the one before."""
    parent: str | None = None
    for number, message in enumerate(messages if isinstance(messages, list) else []):
        if isinstance(message, Mapping):
            text = _joined(message.get("content"))
            if tree.add(str(number), parent, str(message.get("role")), text, message.get("timestamp")):
                parent = str(number)


def _joined(content: object) -> str:
    """Return a message's content as text. It may be a list of parts."""
    if isinstance(content, list):
        return "\n\n".join(_texts(content))
    return content if isinstance(content, str) else ""


def _texts(parts: Iterable[object]) -> list[str]:
    texts = (part.get("text") if isinstance(part, Mapping) else part for part in parts)
    return [text for text in texts if isinstance(text, str)]


def _moment(date: object) -> object:
    """Return the seconds since the epoch of a date in ISO's format; other values as they are."""
    if not isinstance(date, str):
        return date / 1000 if isinstance(date, (int, float)) and date > 1e11 else date
    try:
        return datetime.fromisoformat(date.replace("Z", "+00:00")).timestamp()
    except ValueError:
        return None
