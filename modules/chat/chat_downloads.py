"""Chats as files to download: one file, or a ZIP archive of several."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from collections.abc import Callable, Sequence

from modules.chat.attachments.attachment_store import AttachmentStore
from modules.chat.chat_files import TEXT_FORMATS, write_html
from modules.chat.messages import NEW_CHAT, ChatHead, Message
from modules.chat.parts import IMAGE
from modules.protocol.errors import PaddockError

FORMATS = ("json", *TEXT_FORMATS)
_LONGEST_NAME = 60
# A page to share holds so many bytes of pictures. The others are named.
_MOST_PICTURES = 40_000_000


def file_name(head: ChatHead, kind: str) -> str:
    """Return a name for the file of a chat in a format."""
    ending = ".json" if kind == "json" else TEXT_FORMATS[kind][0]
    plain = re.sub(r"[^\w .,()-]", "_", head.title)[:_LONGEST_NAME].strip(" .")
    return f"{plain or NEW_CHAT}{ending}"


def write_text(
    kind: str,
    head: ChatHead,
    messages: Callable[[], Sequence[Message]],
    tree: Callable[[], object],
    files: AttachmentStore,
) -> str:
    """Return the text of a chat's file. `tree()` returns the value for JSON. Raises PaddockError."""
    if kind == "json":
        return json.dumps(tree(), ensure_ascii=False, indent=1) + "\n"
    if kind == "html":
        shown = messages()
        return write_html(head, shown, pictures(files, shown))
    if kind not in TEXT_FORMATS:
        raise PaddockError(f"There is no format {kind[:40]!r}. The formats are: {', '.join(FORMATS)}.")
    return TEXT_FORMATS[kind][1](head, messages())


def pictures(files: AttachmentStore, messages: Sequence[Message]) -> dict[str, str]:
    """Return {hash: address with the content} of the pictures in these messages. One that is missing is left out."""
    found: dict[str, str] = {}
    room = _MOST_PICTURES
    for part in (part for message in messages for part in message.parts if part.kind == IMAGE):
        hash = str(part.meta["hash"])
        try:
            one = files.find(hash, part.text)
            content = files.read(hash, part.text) if one.is_image and one.size <= room else b""
        except (PaddockError, OSError):
            continue
        if content and hash not in found:
            room -= len(content)
            found[hash] = f"data:{one.mime};base64,{base64.b64encode(content).decode()}"
    return found


def pack(files: Sequence[tuple[str, str]]) -> bytes:
    """Return a ZIP archive of (name, text). Names that repeat are numbered."""
    archive, taken = io.BytesIO(), set[str]()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as out:
        for name, text in files:
            stem, dot, ending = name.rpartition(".")
            unique, number = name, 2
            while unique.casefold() in taken:
                unique, number = f"{stem} {number}{dot}{ending}", number + 1
            taken.add(unique.casefold())
            out.writestr(unique, text)
    return archive.getvalue()
