"""What the list of chats shows: each chat with its place, and whether it is being answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from modules.chat.chat_search import find_messages
from modules.chat.folders import Folder
from modules.chat.messages import ChatHead

if TYPE_CHECKING:
    from modules.app import App


def listed_chats(app: App, search: str = "") -> list[dict[str, Any]]:
    """Return the chats, latest first. `search`: only those with every word in their title, tags or messages.

    `label` of each is its title, distinguished from others of the same title.
    """
    everything = app.chats.chats()
    labels = distinct_titles(everything)
    heads = app.chats.chats(search) if search.strip() else everything
    return [{**asdict(head), "label": labels.get(head.id, head.title)} for head in heads]


def found_chats(app: App, search: str) -> dict[str, Any]:
    """Return {"chats", "hits"}: the chats with every word of `search`, and the messages where the words occur."""
    entries = listed_chats(app, search)
    hits = find_messages(app.chats.store, [entry["id"] for entry in entries], search)
    return {"chats": entries, "hits": [asdict(hit) for hit in hits]}


def listed_folders(app: App) -> list[dict[str, Any]]:
    """Return all folders for the page."""
    return [folder_entry(folder) for folder in app.chats.folders.all()]


def folder_entry(folder: Folder) -> dict[str, Any]:
    """Return a folder for the page."""
    return {"id": folder.id, "name": folder.name, "settings": folder.settings}


def distinct_titles(heads: Sequence[ChatHead]) -> dict[str, str]:
    """Return a title for each chat id. Those that share a title are numbered in the order of their creation.

    An imported copy was created when its original was; it comes after it.
    """
    counted = Counter(head.title for head in heads)
    taken = set(counted)
    numbers: Counter[str] = Counter()
    found: dict[str, str] = {}
    for head in sorted(heads, key=lambda one: (one.created, one.place, one.id)):
        numbers[head.title] += 1
        label = head.title
        if counted[head.title] > 1 and numbers[head.title] > 1:
            label = f"{head.title} ({numbers[head.title]})"
            while label in taken:
                numbers[head.title] += 1
                label = f"{head.title} ({numbers[head.title]})"
            taken.add(label)
        found[head.id] = label
    return found
