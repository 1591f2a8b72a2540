"""The part of modules.chat for stored chats. They are Paddock's chats; `unique_id` is a chat's id."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from modules.chat.characters import Character, fill_in
from modules.chat.hook_state import history_pairs
from modules.chat.layouts import stored_parts
from modules.chat.messages import Message
from modules.compat.facade.base import FacadeModule
from modules.compat.facade.state import State
from modules.protocol.errors import PaddockError

# The user's half of a pair in which the character speaks first.
GREETING = "<|BEGIN-VISIBLE-CHAT|>"

History = dict[str, Any]


class Histories(FacadeModule):
    """A history is {"internal": [[user, reply], …], "visible": [[user, reply], …]}: the texts in prompts, and the shown
    texts. Shown texts are plain here; text-generation-webui escapes them for HTML."""

    def save_history(self, history: History, unique_id: object, character: object = "", mode: object = "") -> None:
        """Make the stored chat show this history. Its earlier content is kept as other versions. Older
        scripts pass the chat's id last: the argument that is the id of a chat is used."""
        known = {head.id for head in self._app.chats.chats()}
        chat = next((name for name in (unique_id, mode, character) if name in known), unique_id)
        if chat:
            self._app.chats.replace_messages(str(chat), messages_of(history))

    def load_history(self, unique_id: object, character: object = "", mode: object = "") -> History:
        """Return the history of a stored chat; an empty one if there is no such chat."""
        history: History = {"internal": [], "visible": [], "metadata": {}}
        with contextlib.suppress(PaddockError):
            history.update(history_pairs(self._app.chats.messages(str(unique_id))))
        return history

    def find_all_histories(self, state: Mapping[str, object]) -> list[str]:
        """Return the ids of the chats with the state's character, latest first."""
        character = self._character(state)
        return [head.id for head in self._app.chats.chats() if head.character == character]

    def find_all_histories_with_first_prompts(self, state: Mapping[str, object]) -> list[list[str]]:
        """Return [title, id] of each of these chats."""
        return [[self._app.chats.head(chat).title, chat] for chat in self.find_all_histories(state)]

    def load_latest_history(self, state: Mapping[str, object]) -> tuple[History, str | None]:
        """Return (the latest history with the state's character, its id); a new one if there is none."""
        found = self.find_all_histories(state)
        return (self.load_history(found[0]), found[0]) if found else (self.start_new_chat(state), None)

    def start_new_chat(self, state: Mapping[str, object], unique_id: object = None) -> History:
        """Create a stored chat with the greeting of the state's character. Return its history."""
        return self.load_history(self._app.chats.create(self._character(state)).id)

    def rename_history(self, old_id: str, new_id: str, character: object = "", mode: object = "") -> None:
        """Set the title of a stored chat."""
        self._app.chats.rename(old_id, new_id)

    def delete_history(self, unique_id: str, character: object = "", mode: object = "") -> None:
        """Move a stored chat to the trash."""
        self._app.chats.delete_chat(unique_id)

    def load_character(self, character: str, name1: str, name2: str) -> tuple[str, str, None, str, str]:
        """Return (name1, the character's name, no picture, its greeting, its context). Raises CharacterError."""
        who = self._app.characters.load(character)
        return name1, who.name, None, who.greeting, who.context

    load_character_memoized = load_character

    def save_character(self, name: str, greeting: str, context: str, picture: object, filename: str) -> None:
        """Write or replace a character's file, without the picture."""
        self._app.characters.save(filename, Character(name, context, greeting))

    def delete_character(self, name: str, instruct: bool = False) -> None:
        """Move a character's file to its folder's trash."""
        self._app.characters.delete(name)

    def return_loaded_character_name(self) -> str:
        """Return the character of new chats; "None" if there is none."""
        return str(self._facade.module("modules.shared").character)

    def replace_character_names(self, text: str, name1: str, name2: str) -> str:
        """Return the text with {{user}} and {{char}} replaced."""
        return fill_in(text, name1, name2)

    def send_dummy_message(self, text: Any, state: State) -> History:
        """Return the state's history with an unanswered message of the user added."""
        history: History = state["history"]
        text = text["text"] if isinstance(text, dict) else text
        history["visible"].append([text, ""])
        history["internal"].append([self._input(text, state), ""])
        return history

    def send_dummy_reply(self, text: Any, state: State) -> History:
        """Return the state's history with a reply added."""
        history: History = state["history"]
        text = text["text"] if isinstance(text, dict) else text
        if not history["visible"] or history["visible"][-1][1]:
            history["visible"].append(["", ""])
            history["internal"].append(["", ""])
        history["visible"][-1][1] = text
        history["internal"][-1][1] = self._input(text, state)
        return history

    def remove_last_message(self, history: History) -> tuple[str, History]:
        """Return (the user's last message, the history without it and its reply)."""
        if not history["visible"] or history["internal"][-1][0] == GREETING:
            return "", history
        history["internal"].pop()
        return history["visible"].pop()[0], history

    def _input(self, text: str, state: State) -> str:
        apply = self._facade.module("modules.extensions").apply_extensions
        return str(apply("input", text, state, is_chat=True))

    def _character(self, state: Mapping[str, object]) -> str:
        name = str(state.get("character_menu") or "")
        return name if name in self._app.characters.names() else ""


def messages_of(history: Mapping[str, Any]) -> list[Message]:
    """Return the messages of a history, each with its prompt text if that differs from the shown text."""
    found: list[Message] = []
    for inner, shown in zip(history.get("internal") or [], history.get("visible") or [], strict=False):
        for role, text, visible in zip(("user", "assistant"), inner, shown, strict=False):
            text = "" if text == GREETING else str(text)
            if text or visible:
                meta = {} if text == visible else {"internal": text}
                found.append(Message("", None, role, stored_parts(role, str(visible)), 0.0, meta=meta))
    return found
