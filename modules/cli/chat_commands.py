"""`webui.py chats …`: list, import and export chats, also while Paddock runs."""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from modules.chat.attachments.attachment_store import AttachmentStore
from modules.chat.chat_downloads import file_name, write_text
from modules.chat.chat_reader import read_chat_file
from modules.chat.chat_transfer import add_chats, export_chat
from modules.chat.messages import ChatHead
from modules.chat.store import ChatStore
from modules.files.paths import free_path, write_atomically
from modules.protocol.errors import PaddockError
from modules.settings.config import Config

# Exports of all chats of a person are large. A file beyond this is not read.
_MOST_BYTES = 1 << 30


def chats(config: Config, arguments: argparse.Namespace) -> int:
    """List, import or export chats."""
    files = AttachmentStore(config.paths.attachments)
    with _open_store(config) as store:
        if arguments.verb == "list":
            _list(store, arguments.json)
        elif arguments.verb == "import":
            _import(store, files, arguments.files)
        else:
            _export(store, files, arguments.chat, arguments.format, arguments.out)
    return 0


@contextmanager
def _open_store(config: Config) -> Iterator[ChatStore]:
    # A Paddock that runs may be writing a reply.
    store = ChatStore(config.paths.chats, owner=False)
    try:
        yield store
    finally:
        store.close()


def _list(store: ChatStore, as_json: bool) -> None:
    heads = store.heads()
    if as_json:
        print(json.dumps([dataclasses.asdict(head) for head in heads], ensure_ascii=False))
        return
    for head in heads:
        print(f"{head.id}  {time.strftime('%Y-%m-%d %H:%M', time.localtime(head.updated))}  {head.title}")
    if not heads:
        print("There are no chats yet.")


def _import(store: ChatStore, attachments: AttachmentStore, files: list[Path]) -> None:
    """Import every file. One that cannot be read is named, and ends the command with an error after the others."""
    problems: list[str] = []
    for file in files:
        try:
            print(f"{file.name}: {_import_file(store, attachments, file)}")
        except PaddockError as error:
            problems.append(f"{file.name}: {error.message}")
    if problems:
        raise PaddockError("\n".join(problems))


def _import_file(store: ChatStore, attachments: AttachmentStore, file: Path) -> str:
    """Import the chats of a file. Return a sentence that counts them. Raises PaddockError."""
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise PaddockError("It has more than 1 GiB. Export fewer chats at a time.")
        found, others = read_chat_file(file.read_bytes(), time.time())
    except OSError as error:
        raise PaddockError(f"It cannot be read ({error.strerror}). Check the name and the permissions.") from None
    add_chats(store, attachments, found)
    skipped = f" {others} without readable messages were left out." if others else ""
    return f"{len(found)} chat{'s' if len(found) != 1 else ''} imported.{skipped}"


def _export(store: ChatStore, files: AttachmentStore, name: str, kind: str, out: Path) -> None:
    """Write one chat to the file `out`, or all chats to files in the folder `out`. No file is overwritten."""
    if name:
        head = _find(store, name)
        target = out / file_name(head, kind) if out.is_dir() else out
        if target.exists():
            raise PaddockError(f"{target} exists already and is not overwritten. Choose another name.")
        _write(target, store, files, head, kind)
        print(f"{head.title} was written to {target}.")
        return
    if out.is_file():
        raise PaddockError(f"{out} is a file. Name a folder for all chats, or one chat with --chat ID.")
    heads = store.heads()
    for head in heads:
        _write(free_path(out / file_name(head, kind), " "), store, files, head, kind)
    print(f"{len(heads)} chats were written to {out}.")


def _find(store: ChatStore, name: str) -> ChatHead:
    """Return the chat with this id or title."""
    found = [head for head in store.heads() if head.is_called(name)]
    if len(found) != 1:
        what = f"{len(found)} chats have the title" if found else "There is no chat with the id or title"
        raise PaddockError(f"{what} {name[:80]!r}. `chats list` shows the ids.")
    return found[0]


def _write(path: Path, store: ChatStore, files: AttachmentStore, head: ChatHead, kind: str) -> None:
    text = write_text(kind, head, lambda: store.path(head.id), lambda: export_chat(store, files, head.id), files)
    write_atomically(path, text)
