"""Reads KoboldCpp's saved stories: one long text in pieces, with marks or names where someone speaks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from modules.chat.import_formats.values import object_of, text_of
from modules.chat.imported_tree import ImportedChat, ImportedTree
from modules.chat.layouts import stored_parts
from modules.chat.parts import TEXT, Part
from modules.chat.roleplay.speakers import SPEAKER

_ADVENTURE, _CHAT = 2, 3
_MARKS = re.compile(r"\{\{\[(INPUT|OUTPUT|SYSTEM)(?:_END)?\]\}\}")
_ROLES = {"INPUT": "user", "OUTPUT": "assistant", "SYSTEM": "system"}
# Pictures, with their content or its hash.
_PICTURE = re.compile(r"\[<\|[ph]\|[^|]*\|[ph]\|>\]|<t2i>([^<]*)</t2i>")
# Between the names of several characters.
_AND = "||$||"


def is_kobold(entry: object) -> bool:
    """Return True if an object is a saved story."""
    return isinstance(entry, Mapping) and isinstance(entry.get("actions"), list) and "prompt" in entry


def read_kobold(entry: Mapping[str, object], now: float) -> ImportedChat:
    """Return the chat of a story. Its memory becomes the system prompt, and its branches become branches."""
    tree = ImportedTree(now)
    settings = object_of(entry.get("savedsettings"))
    actions = entry["actions"]
    assert isinstance(actions, list)
    branches = entry.get("altbranches")
    stories = [[entry.get("prompt"), *actions]]
    stories += [one for one in branches if isinstance(one, list)] if isinstance(branches, list) else []
    ids: dict[tuple[str | None, str, str, str], str] = {}
    for number, story in enumerate(stories):
        text = "".join(map(text_of, story))
        last = _add(tree, _turns(text, settings), ids)
        if not number:
            tree.show(last)
    names = _names(settings)
    memory = text_of(entry.get("memory"))
    character = names[0] if len(names) == 1 and settings.get("opmode") == _CHAT else ""
    return tree.finish("", character, {"system": memory.strip()} if memory.strip() else {})


def _add(
    tree: ImportedTree,
    turns: Iterable[tuple[str, str, str]],
    ids: dict[tuple[str | None, str, str, str], str],
) -> str | None:
    """Add the turns of one branch, each (role, speaker, text). Return the id of the last one.

    `ids`: what was added before. The same turn below the same one is the same message.
    """
    last: str | None = None
    for role, speaker, text in turns:
        id = ids.setdefault((last, role, speaker, text), str(len(ids)))
        parts = stored_parts(role, text) if role == "assistant" else (Part(TEXT, text),)
        tree.add(id, last, role, parts, meta={SPEAKER: speaker} if speaker else {})
        last = id
    return last


def _turns(text: str, settings: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    text = _PICTURE.sub(lambda found: f"[{(found[1] or 'image').strip()}]", text)
    if settings.get("raw_instruct_tags"):
        for tag, mark in (("instruct_starttag", "INPUT"), ("instruct_endtag", "OUTPUT")):
            written = text_of(settings.get(tag)).replace("\\n", "\n")
            text = text.replace(written, f"{{{{[{mark}]}}}}") if written.strip() else text
    if _MARKS.search(text):
        found = _marked(text)
    elif settings.get("opmode") == _CHAT:
        found = _spoken(text, settings)
    elif settings.get("opmode") == _ADVENTURE:
        found = _acted(text)
    else:
        found = iter([("assistant", "", text)])
    return ((role, name, part.strip()) for role, name, part in found if part.strip())


def _marked(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the turns of a text with marks before each. What is before the first one was written by the model."""
    begin, role = 0, "assistant"
    for mark in _MARKS.finditer(text):
        yield role, "", text[begin : mark.start()]
        begin, role = mark.end(), _ROLES[mark[1]]
    yield role, "", text[begin:]


def _spoken(text: str, settings: Mapping[str, object]) -> Iterator[tuple[str, str, str]]:
    """Yield the turns of a text whose lines begin with names."""
    user, names = text_of(settings.get("chatname")) or "User", _names(settings)
    known = sorted({user, *names}, key=len, reverse=True)
    line = re.compile(rf"^({'|'.join(map(re.escape, known))}): ?", re.MULTILINE)
    begin, speaker = 0, ""
    for found in line.finditer(text):
        yield *_speaker(speaker, user, names), text[begin : found.start()]
        begin, speaker = found.end(), found[1]
    yield *_speaker(speaker, user, names), text[begin:]


def _speaker(name: str, user: str, names: list[str]) -> tuple[str, str]:
    return ("user", "") if name == user else ("assistant", name if len(names) > 1 else "")


def _acted(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the turns of an adventure: lines that begin with > are the person's."""
    begin = 0
    for found in re.finditer(r"^> (.*)$", text, re.MULTILINE):
        yield "assistant", "", text[begin : found.start()]
        yield "user", "", found[1]
        begin = found.end()
    yield "assistant", "", text[begin:]


def _names(settings: Mapping[str, object]) -> list[str]:
    return [name.strip() for name in text_of(settings.get("chatopponent")).split(_AND) if name.strip()]
