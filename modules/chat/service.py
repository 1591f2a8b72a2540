"""Operations on chats, for the page's buttons and routes and for extensions."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from modules.chat.attached_files import AttachedFiles
from modules.chat.attachments.attachment_store import AttachmentStore
from modules.chat.attachments.model_images import ModelImages
from modules.chat.characters import Characters, fill_in
from modules.chat.embedded_files import embed_files, unpack_files
from modules.chat.import_export import read_chat, write_chat
from modules.chat.messages import ChatHead, ChatOptions, LiveReply, Message, NotSaved, make_title, prompt_text
from modules.chat.parts import Part, to_json, with_text
from modules.chat.replies import Replies
from modules.chat.reply import Reply
from modules.chat.reply_request import ReplyRequest
from modules.chat.store import ChatStore
from modules.chat.tool_calls import NOT_RUN, calls_of, fixed_results
from modules.plugins.manager import ExtensionManager
from modules.plugins.tools.tool_run import STOPPED
from modules.plugins.tools.toolbox import Toolbox
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.runtime.loaded_model import LoadedModel
from modules.system.listeners import Listeners


class ChatService:
    """All chats, and the replies being written: one in each chat, any number of chats at once. Thread-safe.

    `flush_seconds`: how often arriving text is stored. `extensions`: those whose hooks run. `images`: where
    models find images. `toolbox`: the tools that replies may call. The files of messages lie beside the chats. Owns
    `store` and closes it.
    Every method raises StorageError if the disk fails; then nothing of the change was stored.
    """

    def __init__(
        self,
        store: ChatStore,
        model: LoadedModel,
        characters: Characters,
        clock: Callable[[], float] = time.time,
        *,
        flush_seconds: float = 1.0,
        extensions: ExtensionManager | None = None,
        images: ModelImages | None = None,
        toolbox: Toolbox | None = None,
    ) -> None:
        self.store = store
        folder = store.database.path.parent
        self.attachments = AttachmentStore(folder / "attachments")
        self.files = AttachedFiles(self.attachments, model, images or ModelImages(folder / "model_images"))
        self._characters = characters
        self._clock = clock
        self._listeners = Listeners[Callable[[str], None]]()
        self._replies = Replies(
            store, model, characters, self._listeners.notify, flush_seconds, extensions, self.files, toolbox
        )

    # Chats

    def chats(self, search: str = "") -> list[ChatHead]:
        """Return the chats, latest first, with every word of `search` in their title or messages."""
        return self.store.heads(search)

    def trash(self) -> list[ChatHead]:
        """Return the deleted chats, which can be restored."""
        return self.store.heads(trash=True)

    def head(self, chat_id: str) -> ChatHead:
        """Return the chat's entry in the list."""
        return self.store.head(chat_id)

    def create(self, character: str = "", user: str = "You") -> ChatHead:
        """Create a chat. A character's greeting is its first message. Raises CharacterError."""
        who = self._characters.load(character) if character else None
        head = self.store.create_chat(character=character)
        if who and who.greeting.strip():
            greeting = fill_in(who.greeting, user, who.name).strip()
            self.store.add(head.id, None, "assistant", greeting, {"greeting": True})
        self._listeners.notify(head.id)
        return head

    def rename(self, chat_id: str, title: str) -> None:
        """Set the chat's title. An empty one restores "New chat"."""
        self.store.rename(chat_id, " ".join(title.split())[:200])
        self._listeners.notify(chat_id)

    def delete_chat(self, chat_id: str) -> None:
        """Move the chat to the trash. A reply that is being written in it is stopped and stored."""
        self.stop(chat_id)
        self.store.set_trash(chat_id, True)
        self._listeners.notify(chat_id)

    def restore_chat(self, chat_id: str) -> None:
        """Take the chat out of the trash."""
        self.store.set_trash(chat_id, False)
        self._listeners.notify(chat_id)

    def export(self, chat_id: str) -> dict[str, Any]:
        """Return the whole tree of the chat as a value for JSON, with its files."""
        head, tree = self.store.head(chat_id), self.store.tree(chat_id)
        in_memory = self._replies.in_memory(chat_id)
        for entry in tree:
            if reply := in_memory.get(entry["id"]):
                entry.update(parts=to_json(reply.parts), meta=reply.current_meta())
        return write_chat(head.own_title, head.character, tree, embed_files(self.attachments, tree))

    def import_chat(self, data: object) -> ChatHead:
        """Create a chat from a value of `export` or a history of text-generation-webui. Raises PaddockError."""
        chat = read_chat(data, self._clock())
        unpack_files(self.attachments, chat)
        head = self.store.add_tree(chat.messages, chat.title, chat.character)
        self._listeners.notify(head.id)
        return head

    # Messages

    def messages(self, chat_id: str) -> list[Message]:
        """Return the shown messages, root to leaf. A reply that is being written has its text so far."""
        return self._replies.overlay(chat_id, self.store.path(chat_id))

    def live_reply(self, chat_id: str) -> LiveReply | None:
        """Return the reply that is being written, or None."""
        return self._replies.live_reply(chat_id)

    def send(
        self, chat_id: str, text: str, params: SamplingParams, options: ChatOptions, files: Sequence[Part] = ()
    ) -> str:
        """Add the user's message and start a reply. Return the reply's id. `files`: parts of attachments.

        Raises NotSaved if the message was not added: nothing to send, a reply is being written, the disk failed. Any
        other PaddockError means that no reply could start (no model, a template that fails), but the message is in the
        chat: `continue_reply`, or `regenerate` with its id, answers it later.
        """
        if not text.strip() and not files:
            raise NotSaved("There is nothing to send. Write a message first.")
        self.files.check(files)
        with self._replies.claim(chat_id) as reply:
            path = self.messages(chat_id)
            turn, visible, meta, failed = self._replies.run_hooks(chat_id, path, text, params, options)
            parts = with_text(files, visible)
            message_id = self.store.add(chat_id, path[-1].id if path else None, "user", parts, meta)
            self.store.suggest_title(chat_id, make_title(visible if visible.strip() else files[0].text))
            self._listeners.notify(chat_id)
            try:
                request = ReplyRequest(message_id, self.messages(chat_id), params, options, turn=turn, failed=failed)
                return self._replies.begin(reply, request)
            except NotSaved as error:
                raise PaddockError(error.message, detail=error.detail) from error

    def regenerate(self, chat_id: str, message_id: str, params: SamplingParams, options: ChatOptions) -> str:
        """Start a new version of a reply, or a reply to a user's message. Return its id."""
        with self._replies.claim(chat_id) as reply:
            path = self._line(chat_id, message_id)
            before = path.pop() if path[-1].role == "assistant" else None
            if not any(message.role == "user" for message in path):
                raise PaddockError("There is no question before this message to answer. Write a message first.")
            return self._begin(reply, path, params, options, before)

    def continue_reply(self, chat_id: str, params: SamplingParams, options: ChatOptions) -> str:
        """Continue the last reply in a new version, or answer an unanswered question. Return the id."""
        with self._replies.claim(chat_id) as reply:
            path = self.messages(chat_id)
            if not path:
                raise PaddockError("There is no reply to continue. Write a message first.")
            last = path[-1]
            if last.role != "assistant":
                return self._begin(reply, path, params, options)
            if not last.raw.strip():
                return self._begin(reply, path[:-1], params, options, last)
            return self._replies.begin(reply, ReplyRequest(last.parent, path, params, options, last))

    def _begin(
        self,
        reply: Reply,
        path: list[Message],
        params: SamplingParams,
        options: ChatOptions,
        before: Message | None = None,
    ) -> str:
        """Answer the end of `path`. A question that the hooks have not seen passes through them first.

        `before`: the reply that it had.
        """
        last = path[-1] if path else None
        if last is None or not last.meta.get("raw") or not self._replies.has_hooks:
            parent = last.id if last else before.parent if before else None
            return self._replies.begin(reply, ReplyRequest(parent, path, params, options, before))
        turn, visible, meta, failed = self._replies.run_hooks(reply.chat_id, path[:-1], last.text, params, options)
        meta = {**{key: value for key, value in last.meta.items() if key != "raw"}, **meta}
        path[-1] = replace(last, parts=with_text(last.parts, visible), meta=meta)
        self.store.write(last.id, path[-1].parts, meta, living=False)
        request = ReplyRequest(last.id, path, params, options, turn=turn, failed=failed)
        return self._replies.begin(reply, request)

    def stop(self, chat_id: str) -> None:
        """Stop the reply that is being written, if there is one. Its text is kept."""
        self._replies.stop(chat_id)

    def answer_call(self, chat_id: str, call_id: str, answer: str) -> None:
        """Let a call of a tool that asks run or not. `answer`: one of tool_calls.ANSWERS. Raises PaddockError."""
        self._replies.answer_call(chat_id, call_id, answer)

    def edit(self, chat_id: str, message_id: str, text: str) -> str:
        """Add a version of a message with this text and show it; the old one is kept. Return the new id.

        The files of a message and the reasoning of a reply stay.
        Messages after a user's message stay with the old version, because they answer the old text; `regenerate` with
        the new id answers the new one. Messages after a reply are copied below the new version.
        """
        with self._replies.claim(chat_id):
            message = self._line(chat_id, message_id)[-1]
            if text == message.text:
                return message_id
            path = self.messages(chat_id)
            place = next((place for place, shown in enumerate(path) if shown.id == message_id), None)
            below = path[place + 1 :] if place is not None and message.role != "user" else []
            raw = {"raw": True} if message.role == "user" else {}
            meta = {"edited": True, **raw}
            unanswered = fixed_results(calls_of(message.parts), NOT_RUN, STOPPED)
            parts = with_text((*message.parts, *unanswered), text)
            new = self.store.add(chat_id, message.parent, message.role, parts, meta, below=below)
        self._listeners.notify(chat_id)
        return new

    def delete(self, chat_id: str, message_id: str) -> None:
        """Remove the message and what follows from the path, not from the tree. Show its nearest other version."""
        living = self.live_reply(chat_id)
        if living and any(message.id == message_id for message in self.store.ancestors(chat_id, living.message_id)):
            self.stop(chat_id)
        self.store.delete(chat_id, message_id)
        self._listeners.notify(chat_id)

    def undelete(self, chat_id: str, message_id: str) -> None:
        """Restore a deleted message, with what follows it."""
        self.store.undelete(chat_id, message_id)
        self._listeners.notify(chat_id)

    def switch(self, chat_id: str, message_id: str, version: int) -> None:
        """Show version `version` (from 1) of the message, and below it what was last shown there."""
        self.store.switch(chat_id, message_id, version)
        self._listeners.notify(chat_id)

    def branch(self, chat_id: str, message_id: str) -> ChatHead:
        """Create a chat with the path up to and including this message."""
        head = self.store.head(chat_id)
        title = head.own_title
        new = self.store.branch(self._line(chat_id, message_id), f"{title} (branch)" if title else "", head.character)
        self._listeners.notify(new.id)
        return new

    def replace_messages(self, chat_id: str, line: Sequence[Message]) -> None:
        """Show these messages in the chat; of each, role, parts and meta count.

        Messages at the start that are shown already stay; the others become new versions beside the old ones, which
        are kept. Raises NotSaved while a reply is being written.
        """
        with self._replies.claim(chat_id):
            shown = self.messages(chat_id)
            pairs = zip(shown, line, strict=False)
            common = sum(1 for _ in itertools.takewhile(lambda pair: _same(*pair), pairs))
            if common < len(line):
                first, below = line[common], line[common + 1 :]
                parent = shown[common - 1].id if common else None
                self.store.add(chat_id, parent, first.role, first.parts, first.meta, below=below)
            elif common < len(shown):
                self.store.delete(chat_id, shown[common].id)
        self._listeners.notify(chat_id)

    def subscribe(self, chat_id: str, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` from any thread when the chat's messages or its live reply change, but not for each token.

        With "" for `chat_id`, call it when any chat changes. Return the function that removes the callback.
        """
        return self._listeners.add(lambda changed: callback() if chat_id in ("", changed) else None)

    def remove_unused_files(self) -> None:
        """Remove the attachments that no message names. None is removed while a damaged file of chats lies aside."""
        path = self.store.database.path
        if not any(path.parent.glob(f"{path.stem}-damaged-*")):
            self.attachments.remove_unused(self.store.named_files())

    def close(self) -> None:
        """Stop every reply, store what arrived, and close the store. Safe to call twice."""
        self._replies.close()
        self.store.close()

    def _line(self, chat_id: str, message_id: str) -> list[Message]:
        return self._replies.overlay(chat_id, self.store.ancestors(chat_id, message_id))


def _same(one: Message, other: Message) -> bool:
    return (one.role, one.raw, prompt_text(one)) == (other.role, other.raw, prompt_text(other))
