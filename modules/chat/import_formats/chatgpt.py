"""Reads the conversations of ChatGPT's export: the files conversations.json, or conversations-000.json and so on.

A conversation is a tree of nodes. Reasoning, calls of tools and what they returned are nodes of their own there; here
they are parts of the reply that follows them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from modules.chat.import_formats.values import (
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
from modules.chat.parts import REASONING, TEXT, TOOL_CALL, TOOL_RESULT, Part

# Finds a picture of the export by the name that messages have for it. Returns its name, content and MIME type.
FindPicture = Callable[[str], "tuple[str, bytes, str] | None"]

_ROLES = frozenset({"system", "user", "assistant"})
# A reply gets at most so many steps of its tools, so that a file of steps alone is read in a moment.
_MOST_STEPS = 500
# So many versions of a reply get the same steps.
_MOST_REPLIES = 50
# Citations and links between private characters, and the older ones.
_MARKS = re.compile(r"\ue200[^\ue200\ue201]*\ue201|【\d+(?::\d+)?†[^【】]*】|[\ue200-\ue206]")
_PICTURES = ("image_asset_pointer", "video_container_asset_pointer")
# Sounds of voice chats. What was said is a text beside them.
_SOUNDS = ("audio_asset_pointer", "real_time_user_audio_video_asset_pointer")


@dataclass
class _Node:
    """A message of the export. `step`: reasoning, a call of a tool or its result, which belong to a reply below."""

    parent: str | None
    role: str
    created: object
    parts: list[Part] = field(default_factory=list)
    step: bool = False
    children: list[str] = field(default_factory=list)
    replies: int = 0


def is_chatgpt(entry: object) -> bool:
    """Return True if an object is a conversation of ChatGPT's export."""
    return isinstance(entry, Mapping) and isinstance(entry.get("mapping"), Mapping)


def read_chatgpt(entry: Mapping[str, object], now: float, find: FindPicture = lambda name: None) -> ImportedChat:
    """Return one conversation. Hidden messages, such as custom instructions, are left out."""
    tree = ImportedTree(now)
    mapping = entry["mapping"]
    assert isinstance(mapping, Mapping)
    nodes = {str(id): _node(str(id), value, tree, find) for id, value in mapping.items() if isinstance(value, Mapping)}
    for id, node in nodes.items():
        if above := nodes.get(node.parent or ""):
            above.children.append(id)
    replies = {id: node for id, node in nodes.items() if node.parts and node.role == "assistant" and not node.step}
    steps = {id: _steps_before(node, nodes) for id, node in replies.items()}
    for id, node in reversed(nodes.items()):
        if node.step and not node.replies and all(not nodes[one].step or nodes[one].replies for one in node.children):
            # Nothing was answered after these steps, or there are more of them than one reply gets.
            steps[id] = _steps_before(node, nodes)
    for id, node in nodes.items():
        parts = _paired([*steps.get(id, []), *node.parts]) if not node.step or id in steps else []
        tree.add(id, node.parent, "assistant" if node.step else node.role, parts, node.created)
    tree.show(entry.get("current_node"))
    return replace(
        tree.finish(entry.get("title")),
        pinned=entry.get("is_starred") is True,
        archived=entry.get("is_archived") is True,
        created=moment(entry.get("create_time")) or 0.0,
    )


def _steps_before(node: _Node, nodes: Mapping[str, _Node]) -> list[Part]:
    """Return the parts of the steps between a message and the one above it, which become its own."""
    found: dict[str, _Node] = {}
    name = node.parent or ""
    while name in nodes and name not in found and len(found) < _MOST_STEPS:
        above = nodes[name]
        if not above.step and above.parts or above is node or above.replies >= _MOST_REPLIES:
            break
        above.replies += 1
        found[name] = above
        name = above.parent or ""
    return [part for one in reversed(found.values()) for part in one.parts]


def _paired(parts: list[Part]) -> list[Part]:
    """Return the parts of a reply: each result with the id of the call before it, and a result for each call."""
    found: list[Part] = []
    waiting: list[Part] = []
    for part in parts:
        if part.kind == REASONING and not part.text:
            # How long the reasoning before it took.
            if found and found[-1].kind == REASONING:
                found[-1] = reasoning(found[-1].text, part.meta.get("seconds"))
            continue
        if part.kind == TOOL_CALL:
            waiting.append(part)
        elif part.kind == TOOL_RESULT:
            if not waiting and not part.text.strip():
                continue
            if not waiting:
                waiting.append(tool_call(f"{part.meta['id']}-call", part.meta["name"], ""))
                found += waiting
            part = tool_result(waiting.pop(0), part.text)
        found.append(part)
    return [one for part in found for one in ((part, tool_result(part, "")) if part in waiting else (part,))]


def _node(id: str, value: Mapping[str, object], tree: ImportedTree, find: FindPicture) -> _Node:
    message = value.get("message")
    message = message if isinstance(message, Mapping) else {}
    author, metadata, content = (object_of(message.get(name)) for name in ("author", "metadata", "content"))
    parent = value.get("parent")
    node = _Node(str(parent) if parent is not None else None, text_of(author.get("role")), message.get("create_time"))
    if metadata.get("is_visually_hidden_from_conversation") or metadata.get("is_user_system_message"):
        return node
    kind, recipient = content.get("content_type"), text_of(message.get("recipient")) or "all"
    if kind in ("user_editable_context", "model_editable_context"):
        return node
    if kind in ("thoughts", "reasoning_recap"):
        node.step, node.parts = True, list(_thoughts(content, metadata))
        return node
    files: list[Part] = []
    text = "\n\n".join(one for one in _texts(content, metadata, tree, find, files) if one.strip())
    if node.role == "tool":
        # A tool that draws returns the picture that the reply shows.
        node.step, node.role = not files, "assistant"
        node.parts = [Part(TOOL_RESULT, text, {"id": id, "name": text_of(author.get("name")) or "tool"}), *files]
    elif node.role == "assistant" and recipient != "all":
        code = kind == "code" and not text.lstrip().startswith("{")
        node.step, node.parts = True, [tool_call(id, recipient, {"code": text} if code else text)]
    elif node.role in _ROLES:
        known = [part.text for part in files]
        attached = (text_of(one.get("name")) for one in mappings(metadata.get("attachments")))
        names = named_files(name for name in attached if name not in known and f"[{name}]" not in text)
        text = "\n\n".join(one for one in (names, text) if one.strip())
        node.parts = [*files, *([Part(TEXT, text)] if text else [])]
    return node


def _thoughts(content: Mapping[str, object], metadata: Mapping[str, object]) -> Iterator[Part]:
    texts = []
    for one in mappings(content.get("thoughts")):
        summary, text = text_of(one.get("summary")).strip(), text_of(one.get("content")).strip()
        texts += [f"**{summary}**"] if summary and summary != text else []
        texts += [text] if text else []
    took = metadata.get("finished_duration_sec")
    if texts or took:
        yield reasoning("\n\n".join(texts), took)


def _texts(
    content: Mapping[str, object],
    metadata: Mapping[str, object],
    tree: ImportedTree,
    find: FindPicture,
    files: list[Part],
) -> Iterator[str]:
    """Yield the texts of a message, and the names of its pictures. Add those that the export contains to `files`."""
    kind = content.get("content_type")
    if kind == "tether_quote":
        yield "\n".join(filter(None, (text_of(content.get(name)) for name in ("title", "url", "text"))))
    elif kind == "tether_browsing_display":
        yield text_of(content.get("result")) or text_of(content.get("summary"))
    elif not isinstance(parts := content.get("parts"), list):
        yield text_of(content.get("text")) or text_of(content.get("output_str"))
        drawn = mappings(object_of(metadata.get("aggregate_result")).get("messages"))
        pointers = [*(one.get("image_url") for one in drawn), object_of(content.get("screenshot")).get("asset_pointer")]
        for pointer in filter(None, map(text_of, pointers)):
            picture = {"content_type": _PICTURES[0], "asset_pointer": pointer}
            yield from _part(picture, {}, tree, find, files)
    else:
        references = mappings(metadata.get("content_references"))
        links = {text_of(one.get("matched_text")): text_of(one.get("alt")) for one in references}
        attached = {text_of(one.get("id")): text_of(one.get("name")) for one in mappings(metadata.get("attachments"))}
        spoken = any(object_of(part).get("content_type") == "audio_transcription" for part in parts)
        for part in parts:
            if isinstance(part, Mapping) and part.get("content_type") in _SOUNDS:
                yield "" if spoken else named_files(["audio"])
            elif isinstance(part, Mapping):
                yield from _part(part, attached, tree, find, files)
            else:
                yield _MARKS.sub(lambda mark: links.get(mark[0], ""), text_of(part))


def _part(
    part: Mapping[str, object],
    attached: Mapping[str, str],
    tree: ImportedTree,
    find: FindPicture,
    files: list[Part],
) -> Iterator[str]:
    if part.get("content_type") not in _PICTURES:
        yield joined_texts([part])
        return
    # Such as sediment://file_0123 or file-service://file-0123.
    pointer = text_of(part.get("asset_pointer")).rpartition("/")[2]
    if picture := find(pointer):
        name, data, mime = picture
        files.append(tree.file(data, name, mime))
        return
    drawn = object_of(object_of(part.get("metadata")).get("dalle"))
    yield named_files([attached.get(pointer) or text_of(drawn.get("prompt")) or "image"])
