"""Operations on the messages of chats, for the page's buttons and routes and for extensions."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import replace

from modules.chat.chat_collection import ChatCollection
from modules.chat.messages import ChatHead, ChatOptions, LiveReply, Message, NotSaved, make_title, prompt_text
from modules.chat.parts import FILES, Part, with_text
from modules.chat.reply import Reply
from modules.chat.reply_request import ReplyRequest
from modules.chat.roleplay.scene import NARRATOR
from modules.chat.roleplay.speakers import SPEAKER
from modules.chat.tool_calls import NOT_RUN, calls_of, fixed_results
from modules.plugins.tools.tool_run import STOPPED
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams

# What stays true of a message whose text a person changed.
_KEPT = ("passages", "lore", SPEAKER, NARRATOR)


class ChatService(ChatCollection):
    """All chats, and the replies being written: one in each chat, any number of chats at once. Thread-safe.

    Every method raises StorageError if the disk fails; then nothing of the change was stored.
    """

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
                return self.group_turns.begin(reply, request)
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
            return self.group_turns.begin(reply, ReplyRequest(last.parent, path, params, options, last), asked=True)

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
            return self.group_turns.begin(reply, ReplyRequest(parent, path, params, options, before), asked=True)
        turn, visible, meta, failed = self._replies.run_hooks(reply.chat_id, path[:-1], last.text, params, options)
        meta = {**{key: value for key, value in last.meta.items() if key != "raw"}, **meta}
        path[-1] = replace(last, parts=with_text(last.parts, visible), meta=meta)
        self.store.write(last.id, path[-1].parts, meta, living=False)
        request = ReplyRequest(last.id, path, params, options, turn=turn, failed=failed)
        return self.group_turns.begin(reply, request, asked=True)

    def add_failure(self, chat_id: str, error: PaddockError) -> None:
        """Add a reply that failed with this error before it began. Nothing is added while a reply is being written."""
        with contextlib.suppress(NotSaved), self._replies.claim(chat_id):
            path = self.messages(chat_id)
            meta = {"error": error.message, "detail": error.detail, "code": error.code, "lower": list(error.lower)}
            self.store.add(chat_id, path[-1].id if path else None, "assistant", "", meta)
        self._listeners.notify(chat_id)

    def answer_call(self, chat_id: str, call_id: str, answer: str) -> None:
        """Let a call of a tool that asks run or not. `answer`: one of tool_calls.ANSWERS. Raises PaddockError."""
        self._replies.answer_call(chat_id, call_id, answer)

    def edit(self, chat_id: str, message_id: str, text: str, files: Sequence[Part] | None = None) -> str:
        """Add a version of a message with this text and show it; the old one is kept. Return the new id.

        `files`: those of the new version; without them, the files stay. The reasoning of a reply stays.
        Messages after a user's message stay with the old version, because they answer the old text; `regenerate` with
        the new id answers the new one. Messages after a reply are copied below the new version.
        """
        with self._replies.claim(chat_id):
            message = self._line(chat_id, message_id)[-1]
            others = message.parts
            if files is not None:
                self.files.check(files)
                others = (*files, *(part for part in message.parts if part.kind not in FILES))
            if text == message.text and others == message.parts:
                return message_id
            path = self.messages(chat_id)
            place = next((place for place, shown in enumerate(path) if shown.id == message_id), None)
            below = path[place + 1 :] if place is not None and message.role != "user" else []
            raw = {"raw": True} if message.role == "user" else {}
            kept = {name: message.meta[name] for name in _KEPT if name in message.meta}
            meta = {"edited": True, **raw, **kept}
            unanswered = fixed_results(calls_of(message.parts), NOT_RUN, STOPPED)
            parts = with_text((*others, *unanswered), text)
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
        line, title = self._line(chat_id, message_id), f"{title} (branch)" if title else ""
        new = self.store.branch(chat_id, line, title, head.character)
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

    def _line(self, chat_id: str, message_id: str) -> list[Message]:
        return self._replies.overlay(chat_id, self.store.ancestors(chat_id, message_id))


def _same(one: Message, other: Message) -> bool:
    return (one.role, one.raw, prompt_text(one)) == (other.role, other.raw, prompt_text(other))
