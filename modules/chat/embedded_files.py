"""Files of a chat inside its export: base64 beside the messages, so that one JSON file holds the whole chat."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modules.chat.attachments.attachment_store import AttachmentStore
from modules.chat.imported_tree import ImportedChat
from modules.chat.parts import FILES
from modules.protocol.errors import PaddockError

_LOG = logging.getLogger(__name__)
# An export holds so many bytes of files. It names the others without their content.
MOST_EMBEDDED = 200_000_000


def embed_files(store: AttachmentStore, messages: Sequence[Mapping[str, object]]) -> dict[str, dict[str, str]]:
    """Return {hash: {"name", "data" (base64)}} of the files that these messages name. `messages`: as of ChatStore.tree.

    A file that is missing, or for which there is no room, is left out: the message still has its name.
    """
    found: dict[str, dict[str, str]] = {}
    room = MOST_EMBEDDED
    for hash, name in _named(messages):
        if hash in found:
            continue
        try:
            data = store.read(hash, name) if store.path(hash).stat().st_size <= room else None
        except (PaddockError, OSError):
            continue
        if data is not None:
            room -= len(data)
            found[hash] = {"name": name, "data": base64.b64encode(data).decode()}
    return found


def unpack_files(store: AttachmentStore, chat: ImportedChat) -> None:
    """Store the files of an imported chat that its messages name.

    A file that cannot be stored is missing in the chat, as one that the export lacks: the message still has its name.
    """
    for hash, name in dict(_named(chat.messages)).items() if chat.files else ():
        entry = chat.files.get(hash)
        data = entry.get("data") if isinstance(entry, Mapping) else None
        if not isinstance(data, (str, bytes)):
            continue
        try:
            stored = store.add(base64.b64decode(data, validate=True) if isinstance(data, str) else data, name)
            if stored.hash != hash:
                _LOG.warning("The file %s of an imported chat differs from what its message names.", name)
        except (PaddockError, binascii.Error, ValueError) as error:
            _LOG.warning("The file %s of an imported chat was left out: %s", name, error)


def _named(messages: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield the hash and the name of each file that messages name."""
    for message in messages:
        for part in message["parts"]:
            if part["kind"] in FILES:
                yield str(part["meta"]["hash"]), str(part["text"])
