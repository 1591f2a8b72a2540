"""Read one chat's messages from the database of chats, without changing it.

Another process may be writing a reply at that moment, which opening the store would mark as cut off.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import quote

from modules.chat.database import BUSY_SECONDS
from modules.chat.messages import ChatHead, prompt_text
from modules.chat.tree import PATH, head_of, message_of
from modules.protocol.errors import PaddockError

_SHOWN = 5


def read_chat_messages(database: Path, name: str) -> list[dict[str, str]]:
    """Return {"role", "content"} of the shown messages of the chat with this id or title.

    Upper and lower case of a title are the same. Raises PaddockError where there is no such chat, or several.
    """
    if not database.is_file():
        raise PaddockError("There are no chats yet. Choose a file with text instead.")
    address = f"file:{quote(str(database))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS)) as connection:
            connection.row_factory = sqlite3.Row
            rows = connection.execute("SELECT * FROM chats WHERE deleted IS NULL ORDER BY updated DESC")
            chat = _find([head_of(row) for row in rows], name)
            return [
                {"role": message.role, "content": prompt_text(message)}
                for message in map(message_of, connection.execute(PATH, (chat,)))
            ]
    except sqlite3.Error as error:
        raise PaddockError(
            f"The chats in {database} cannot be read ({error}). Start Paddock once, then try again."
        ) from error


def _find(chats: list[ChatHead], name: str) -> str:
    """Return the id of the one chat that is meant."""
    found = [head.id for head in chats if head.is_called(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise PaddockError(f"{len(found)} chats are called {name!r}. Name one by its id: {', '.join(found[:_SHOWN])}.")
    titles = ", ".join(head.title for head in chats[:_SHOWN]) or "none yet"
    raise PaddockError(f"There is no chat called {name[:80]!r}. The latest chats are: {titles}.")
