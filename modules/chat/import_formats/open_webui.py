"""Reads chats that Open WebUI exported. Reasoning and calls of tools are HTML in their texts there."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from modules.chat.import_formats.values import (
    data_of,
    joined_texts,
    mappings,
    moment,
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
from modules.chat.setting_types import MOST_TAGS

_BEGIN = re.compile(r'<details type="(reasoning|tool_calls|code_interpreter)"([^<>]*)>\n?(?:<summary>[^<]*</summary>)?')
_END = "</details>"
_ATTRIBUTE = re.compile(r'(?<![\w-])([\w-]+)="([^"]*)"')
_FENCE = re.compile(r"\s*```\w*\n(.*?)\n?```\s*", re.DOTALL)
_QUOTED = re.compile(r"^> ?", re.MULTILINE)


def is_openwebui(entry: object) -> bool:
    """Return True if an object is a chat of Open WebUI's export, or only its inner part."""
    chat = entry.get("chat") if isinstance(entry, Mapping) else None
    if isinstance(chat, Mapping):
        return "history" in chat or "messages" in chat
    history = entry.get("history") if isinstance(entry, Mapping) else None
    return isinstance(history, Mapping) and isinstance(history.get("messages"), Mapping)


def read_openwebui(entry: Mapping[str, object], now: float) -> ImportedChat:
    """Return one chat, with its system prompt, its tags, and whether it is pinned or in the archive."""
    chat = object_of(entry.get("chat")) or entry
    tree = ImportedTree(now)
    history = chat.get("history")
    messages = history.get("messages") if isinstance(history, Mapping) else None
    if isinstance(history, Mapping) and isinstance(messages, Mapping) and messages:
        for id, message in messages.items():
            if isinstance(message, Mapping):
                _add_versions(tree, str(id), message.get("parentId"), message)
        tree.show(history.get("currentId"))
    else:
        add_list(tree, chat.get("messages"))
    system = text_of(chat.get("system") or object_of(chat.get("params")).get("system"))
    tags = object_of(entry.get("meta")).get("tags") or chat.get("tags")
    return replace(
        tree.finish(entry.get("title") or chat.get("title"), settings={"system": system} if system.strip() else {}),
        tags=tuple(map(text_of, tags))[:MOST_TAGS] if isinstance(tags, list) else (),
        pinned=entry.get("pinned") is True,
        archived=entry.get("archived") is True,
        created=moment(entry.get("created_at")) or moment(chat.get("timestamp")) or 0.0,
    )


def add_list(tree: ImportedTree, messages: object) -> None:
    """Add a list of {role, content} to an empty tree, each below the one before, and show the last one.

    Calls of tools in OpenAI's form, and messages with what they returned, become parts of the reply after them.
    """
    parent: str | None = None
    calls: dict[str, Part] = {}
    steps: list[Part] = []
    for number, message in enumerate([*mappings(messages), {}]):
        id, role = str(number), text_of(message.get("role"))
        text = joined_texts(message.get("content"))
        if role == "tool":
            name = text_of(message.get("tool_call_id"))
            if not calls and text.strip():
                steps.append(tool_call(name or id, text_of(message.get("name")), ""))
                calls[steps[-1].meta["id"]] = steps[-1]
            if call := calls.pop(name if name in calls else next(iter(calls), ""), None):
                steps.append(tool_result(call, text))
            continue
        if steps and role != "assistant":
            # Nothing was answered after these calls.
            steps += [tool_result(call, "") for call in calls.values()]
            parent = f"{id}-steps" if tree.add(f"{id}-steps", parent, "assistant", steps) else parent
            calls, steps = {}, []
        asked = mappings(message.get("tool_calls")) if role == "assistant" else []
        if asked:
            thoughts = text_of(message.get("reasoning_content") or message.get("reasoning"))
            steps += [reasoning(thoughts)] if thoughts.strip() else []
            steps += _parts(id, text) if text.strip() else []
            for place, one in enumerate(asked):
                function = object_of(one.get("function"))
                name = text_of(one.get("id")) or f"{id}-{place}"
                call = tool_call(name, text_of(function.get("name")), function.get("arguments"))
                calls[call.meta["id"]] = call
                steps.append(call)
        elif _add(tree, id, parent, message, [*steps, *(tool_result(call, "") for call in calls.values())]):
            parent = id
            calls, steps = {}, []
    tree.show(parent)


def _add_versions(tree: ImportedTree, id: str, parent: object, message: Mapping[str, object]) -> None:
    """Add a message, and as another version of it the answer that was merged from those of several models."""
    merged = text_of(object_of(message.get("merged")).get("content"))
    if not merged.strip():
        _add(tree, id, parent, message)
    elif not joined_texts(message.get("content")).strip():
        _add(tree, id, parent, {**message, "content": merged})
    else:
        _add(tree, f"{id}-merged", parent, {**message, "content": merged})
        _add(tree, id, parent, message)


def _add(
    tree: ImportedTree, id: str, parent: object, message: Mapping[str, object], steps: Sequence[Part] = ()
) -> bool:
    role = text_of(message.get("role")).replace("developer", "system")
    text = joined_texts(message.get("content"))
    files = list(_files(tree, message))
    if role == "assistant":
        thoughts = text_of(message.get("reasoning_content") or message.get("reasoning"))
        before = [reasoning(thoughts)] if thoughts.strip() else []
        parts = [*steps, *before, *files, *_parts(id, _with_links(text, message.get("sources")))]
    else:
        parts = [*files, *([Part(TEXT, text)] if text.strip() else [])]
    return tree.add(id, parent, role, parts, message.get("timestamp"))


def _parts(id: str, text: str) -> list[Part]:
    """Return the parts of a reply."""
    found: list[Part] = []
    begin = 0
    while (match := _BEGIN.search(text, begin)) and (end := text.find(_END, match.end())) >= 0:
        before = text[begin : match.start()].lstrip("\n")
        found += [Part(TEXT, before)] if before.strip() else []
        found += _hidden(f"{id}-{begin}", match[1], dict(_ATTRIBUTE.findall(match[2])), text[match.end() : end])
        begin = end + len(_END)
    if not found:
        return list(stored_parts("assistant", text))
    rest = text[begin:].lstrip("\n")
    return [*found, *([Part(TEXT, rest)] if rest.strip() else [])]


def _hidden(id: str, kind: str, attributes: Mapping[str, str], body: str) -> list[Part]:
    values = {name: html.unescape(value) for name, value in attributes.items()}
    inside = html.unescape(body).strip()
    if kind == "reasoning":
        took = values.get("duration", "")
        return [reasoning(_QUOTED.sub("", inside), float(took) if took.isdecimal() else None)]
    if kind == "tool_calls":
        call = tool_call(values.get("id") or id, values.get("name", ""), values.get("arguments", ""))
        # Newer versions write the result between the marks.
        output = values.get("result") or inside
    else:
        code = _FENCE.fullmatch(inside)
        call = tool_call(id, "code_interpreter", {"code": code[1] if code else inside})
        output = values.get("output", "")
    return [call, tool_result(call, _decoded(output))]


def _decoded(text: str) -> str:
    """Return the text that a JSON string means, and other text as it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, str) else text


def _files(tree: ImportedTree, message: Mapping[str, object]) -> Iterator[Part]:
    """Yield the files of a message: those whose content is in the export, and the names of the others as a text."""
    images = [object_of(part.get("image_url")) for part in mappings(message.get("content"))]
    lost: list[str] = []
    for file in [*mappings(message.get("files")), *({"type": "image", **one} for one in images if one)]:
        stored = object_of(file.get("file"))
        name = text_of(file.get("name") or stored.get("filename") or object_of(stored.get("meta")).get("name"))
        address = text_of(file.get("url"))
        text = text_of(object_of(stored.get("data")).get("content"))
        mime = address.partition(";")[0].removeprefix("data:")
        if data := data_of(address):
            yield tree.file(data, name or "image", mime)
        elif text.strip():
            yield tree.file(text.encode("utf-8", "replace"), name or "document")
        else:
            lost.append(name or text_of(file.get("type")) or "file")
    if lost:
        yield Part(TEXT, named_files(lost) + "\n\n")


def _with_links(text: str, sources: object) -> str:
    """Return a reply whose [1] and so on are links to the sources on the web that it names."""
    ids: dict[str, str] = {}
    for one in mappings(sources):
        source = object_of(one.get("source"))
        for part in mappings(one.get("metadata")) or [{}]:
            id = text_of(part.get("source")) or text_of(source.get("url")) or text_of(source.get("name"))
            urls = (id, text_of(part.get("url")), text_of(source.get("url")))
            ids.setdefault(id, next((url for url in urls if re.fullmatch(r"https?://[^\s<>]+", url)), ""))
    named = set(re.findall(r"\[(\d+)\]", text))
    lines = [f"[{n}]: <{url}>" for n, url in enumerate(ids.values(), 1) if url and str(n) in named]
    return "\n\n".join([text, "\n".join(lines)]) if lines else text
