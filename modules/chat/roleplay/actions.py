"""What a person does in a chat with characters: greetings, messages put in anywhere, and drafts of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from modules.chat.characters import Character, Characters, fill_in
from modules.chat.messages import ChatOptions, NotSaved
from modules.chat.parts import TEXT, plain, visible_text
from modules.chat.replies import Replies
from modules.chat.reply_request import ReplyRequest, StartedReply
from modules.chat.roleplay.scene import NARRATOR
from modules.chat.roleplay.speakers import SPEAKER
from modules.chat.store import ChatStore
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams

ROLES = ("user", "assistant", "system")


@dataclass(frozen=True)
class Draft:
    """The user's next message as the model writes it. `pieces` ends early after `cancel`."""

    pieces: Iterator[str]
    cancel: Callable[[], None]


class RoleplayActions:
    """Changes chats with characters. Thread-safe. `notify(chat_id)` is called after each change."""

    def __init__(
        self, store: ChatStore, replies: Replies, characters: Characters, notify: Callable[[str], None]
    ) -> None:
        self._store, self._replies, self._characters, self._notify = store, replies, characters, notify

    def greet(self, chat_id: str, character: str, who: Character, user: str, *, group: bool = False) -> None:
        """Add the character's greetings as versions of the first message, and show the usual one.

        `group`: with the greetings for groups first.
        """
        texts = [*(who.card.group_only_greetings if group else ()), *who.greetings]
        greetings = [text for one in texts if (text := fill_in(one, user, who.spoken_name).strip())]
        first = ""
        for text in greetings:
            meta = {"greeting": True, SPEAKER: character}
            added = self._store.add(chat_id, None, "assistant", text, meta)
            first = first or added
        if len(greetings) > 1:
            self._store.switch(chat_id, first, 1)

    def insert(self, chat_id: str, after: str, role: str, text: str, speaker: str = "") -> str:
        """Put a message below the message `after`, or with "" at the start. Return its id.

        The messages after it are copied below it, and the former order stays as another version. `role`: one of ROLES;
        "system" is a narrator. Raises NotSaved.
        """
        if role not in ROLES:
            raise NotSaved(f"A message cannot be from {role!r}. Choose {', '.join(ROLES)}.")
        if not text.strip():
            raise NotSaved("There is nothing to put in. Write a message first.")
        meta: dict[str, object] = {"inserted": True}
        if role == "system":
            meta[NARRATOR] = True
        elif role == "assistant" and speaker:
            self._characters.load(speaker)
            meta[SPEAKER] = speaker
        with self._replies.claim(chat_id):
            path = self._replies.overlay(chat_id, self._store.path(chat_id))
            place = next((place + 1 for place, one in enumerate(path) if one.id == after), 0 if not after else None)
            if place is None:
                raise NotSaved("This message is not shown in the chat any more. Reload the page.")
            new = self._store.add(chat_id, after or None, role, plain(text), meta, below=path[place:])
        self._notify(chat_id)
        return new

    def impersonate(self, chat_id: str, params: SamplingParams, options: ChatOptions) -> Draft:
        """Let the model write the user's next message, which is not added to the chat.

        Raises PaddockError; its pieces do so if the model fails.
        """
        path = self._replies.overlay(chat_id, self._store.path(chat_id))
        if not path:
            raise PaddockError("There is no message to continue from. Write the first one yourself.")
        if options.group is not None:
            members = [name for name in options.group.members if name in self._characters.names()]
            options = replace(options, character=next(iter(members), ""))
        request = ReplyRequest(None, path, params, options, impersonates=True)
        started = self._replies.draft(chat_id, request)
        return Draft(_pieces(started), started.generation.cancel)


def _pieces(started: StartedReply) -> Iterator[str]:
    """Yield what is new of the visible text."""
    generation, sent = started.generation, ""
    try:
        for piece in generation.follow():
            started.reader.feed(piece, generation.tokens)
            text = visible_text(part for part in started.reader.parts() if part.kind == TEXT)
            if len(text) > len(sent) and text.startswith(sent):
                yield text[len(sent) :]
                sent = text
        started.reader.finish()
        if (text := visible_text(started.reader.parts())).startswith(sent) and len(text) > len(sent):
            yield text[len(sent) :]
        if generation.error is not None:
            raise generation.error
    finally:
        generation.cancel()
