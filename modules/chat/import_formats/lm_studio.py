"""Reads LM Studio's conversation files. A message has versions, and a version has steps or content."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modules.chat.import_formats.values import (
    joined_texts,
    mappings,
    named_files,
    object_of,
    reasoning,
    text_of,
    tool_call,
    tool_result,
)
from modules.chat.imported_tree import ImportedChat, ImportedTree
from modules.chat.layouts import stored_parts
from modules.chat.parts import TEXT, Part


def is_lm_studio(entry: object) -> bool:
    """Return True if an object is a conversation of LM Studio."""
    messages = entry.get("messages") if isinstance(entry, Mapping) else None
    return any(isinstance(one.get("versions"), list) for one in mappings(messages)[:1])


def read_lm_studio(entry: Mapping[str, object], now: float) -> ImportedChat:
    """Return one conversation, with its system prompt as that of the chat."""
    tree = ImportedTree(now)
    parent: str | None = None
    for number, message in enumerate(mappings(entry.get("messages"))):
        versions, chosen = mappings(message.get("versions")), message.get("currentlySelected")
        below = parent
        for place, version in enumerate(versions):
            id = f"{number}.{place}"
            role = text_of(version.get("role"))
            parts = list(_parts(id, role, version))
            if tree.add(id, below, role, parts, entry.get("createdAt")) and (place == chosen or parent == below):
                parent = id
    tree.show(parent)
    system = text_of(entry.get("systemPrompt"))
    return tree.finish(entry.get("name"), settings={"system": system} if system.strip() else {})


def _parts(id: str, role: str, version: Mapping[str, object]) -> Iterator[Part]:
    if not isinstance(version.get("steps"), list):
        yield from _content(role, version.get("content"))
        return
    calls: dict[str, Part] = {}
    for number, step in enumerate(mappings(version.get("steps"))):
        style, content = object_of(step.get("style")), step.get("content")
        for place, item in enumerate(mappings(content)):
            if item.get("type") == "toolCallRequest":
                name = text_of(item.get("toolCallRequestId") or item.get("callId")) or f"{id}-{number}-{place}"
                calls[name] = tool_call(name, text_of(item.get("name")), item.get("parameters"))
                yield calls[name]
            elif item.get("type") == "toolCallResult":
                name = text_of(item.get("toolCallRequestId") or item.get("toolCallId") or item.get("callId"))
                if call := calls.pop(name if name in calls else next(iter(calls), ""), None):
                    yield tool_result(call, text_of(item.get("content")))
        if style.get("type") == "thinking":
            if text := joined_texts(content).strip():
                yield reasoning(text)
        elif step.get("type") == "contentBlock":
            yield from _content(role, content)
    for call in calls.values():
        yield tool_result(call, "")


def _content(role: str, content: object) -> Iterator[Part]:
    """Yield the text of a message, and the names of its files, which lie elsewhere."""
    files = [
        text_of(one.get("name") or one.get("fileIdentifier")) for one in mappings(content) if one.get("type") == "file"
    ]
    if names := named_files(files):
        yield Part(TEXT, f"{names}\n\n")
    texts = [one for one in content if object_of(one).get("type") == "text"] if isinstance(content, list) else content
    if (text := joined_texts(texts)).strip():
        yield from stored_parts(role, text)
