"""The part of modules.chat about stored chats: Paddock's own, where a chat's id is the `unique_id`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from modules.chat.characters import Character, fill_in
from modules.chat.hook_state import history_pairs
from modules.chat.messages import Message
from modules.compat.facade.base import FacadeModule
from modules.protocol.errors import PaddockError

# Stands for the user's half where a character spoke first.
GREETING = "<|BEGIN-VISIBLE-CHAT|>"

History = dict[str, Any]


class Histories(FacadeModule):
    """A history is {"internal": [[user, reply], …], "visible": [[user, reply], …]}: what prompts hold, what is shown.
    What is shown is plain text here, where text-generation-webui escapes it for HTML."""

    def save_history(self, history: History, unique_id: Any, character: Any = "", mode: Any = "") -> None:
        """Let the stored chat show this history. What it showed before is kept beside it, as other versions. Older
        scripts give the chat's id last: whichever is the id of a chat is it."""
        known = {head.id for head in self._app.chats.chats()}
        chat = next((name for name in (unique_id, mode, character) if name in known), unique_id)
        if chat:
            self._app.chats.replace_messages(str(chat), messages_of(history))

    def load_history(self, unique_id: Any, character: Any = "", mode: Any = "") -> History:
        """The history of a stored chat; an empty one where there is none of that id."""
        history: History = {"internal": [], "visible": [], "metadata": {}}
        with contextlib.suppress(PaddockError):
            history.update(history_pairs(self._app.chats.messages(str(unique_id))))
        return history

    def find_all_histories(self, state: Mapping[str, Any]) -> list[str]:
        """The ids of the chats with the state's character, latest first."""
        character = self._character(state)
        return [head.id for head in self._app.chats.chats() if head.character == character]

    def find_all_histories_with_first_prompts(self, state: Mapping[str, Any]) -> list[list[str]]:
        """[title, id] of each of them."""
        return [[self._app.chats.head(chat).title, chat] for chat in self.find_all_histories(state)]

    def load_latest_history(self, state: Mapping[str, Any]) -> tuple[History, str | None]:
        """(the latest history with the state's character, its id); a new one where there is none."""
        found = self.find_all_histories(state)
        return (self.load_history(found[0]), found[0]) if found else (self.start_new_chat(state), None)

    def start_new_chat(self, state: Mapping[str, Any], unique_id: Any = None) -> History:
        """A new stored chat, with the greeting of the state's character; its history."""
        return self.load_history(self._app.chats.create(self._character(state)).id)

    def rename_history(self, old_id: str, new_id: str, character: Any = "", mode: Any = "") -> None:
        """Give the stored chat a title."""
        self._app.chats.rename(old_id, new_id)

    def delete_history(self, unique_id: str, character: Any = "", mode: Any = "") -> None:
        """Put the stored chat in the trash."""
        self._app.chats.delete_chat(unique_id)

    def load_character(self, character: str, name1: str, name2: str) -> tuple[str, str, None, str, str]:
        """(name1, the character's name, no picture, its greeting, its context). Raises CharacterError."""
        who = self._app.characters.load(character)
        return name1, who.name, None, who.greeting, who.context

    load_character_memoized = load_character

    def save_character(self, name: str, greeting: str, context: str, picture: Any, filename: str) -> None:
        """Write or replace a character's file; the picture is left out."""
        self._app.characters.save(filename, Character(name, context, greeting))

    def delete_character(self, name: str, instruct: bool = False) -> None:
        """Move a character's file to its folder's trash."""
        self._app.characters.delete(name)

    def return_loaded_character_name(self) -> str:
        """The character that new chats begin with, "None" without one."""
        return str(self._facade.module("modules.shared").character)

    def replace_character_names(self, text: str, name1: str, name2: str) -> str:
        """The text with {{user}} and {{char}} replaced."""
        return fill_in(text, name1, name2)

    def send_dummy_message(self, text: Any, state: dict[str, Any]) -> History:
        """The state's history with a message of the user's added, unanswered."""
        history: History = state["history"]
        text = text["text"] if isinstance(text, dict) else text
        history["visible"].append([text, ""])
        history["internal"].append([self._input(text, state), ""])
        return history

    def send_dummy_reply(self, text: Any, state: dict[str, Any]) -> History:
        """The state's history with a reply added."""
        history: History = state["history"]
        text = text["text"] if isinstance(text, dict) else text
        if not history["visible"] or history["visible"][-1][1]:
            history["visible"].append(["", ""])
            history["internal"].append(["", ""])
        history["visible"][-1][1] = text
        history["internal"][-1][1] = self._input(text, state)
        return history

    def remove_last_message(self, history: History) -> tuple[str, History]:
        """(the last message of the user, the history without it and its reply)."""
        if not history["visible"] or history["internal"][-1][0] == GREETING:
            return "", history
        history["internal"].pop()
        return history["visible"].pop()[0], history

    def _input(self, text: str, state: dict[str, Any]) -> str:
        apply: Any = self._facade.module("modules.extensions").apply_extensions
        return str(apply("input", text, state, is_chat=True))

    def _character(self, state: Mapping[str, Any]) -> str:
        name = str(state.get("character_menu") or "")
        return name if name in self._app.characters.names() else ""


def messages_of(history: Mapping[str, Any]) -> list[Message]:
    """The messages of a history, with what prompts hold of each where that differs from what is shown."""
    found: list[Message] = []
    for inner, shown in zip(history.get("internal") or [], history.get("visible") or [], strict=False):
        for role, text, visible in zip(("user", "assistant"), inner, shown, strict=False):
            text = "" if text == GREETING else str(text)
            if text or visible:
                meta = {} if text == visible else {"internal": text}
                found.append(Message("", None, role, str(visible), 0.0, meta=meta))
    return found
