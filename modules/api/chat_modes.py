"""text-generation-webui's fields for characters: `mode`, `character`, names, and templates chosen by the client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from modules.api.body_fields import names_field, text_field
from modules.api.chat_mode_fields import LOREBOOKS, OF_CHARACTERS
from modules.app import App
from modules.chat.characters import Character, fill_in
from modules.chat.messages import ChatOptions
from modules.chat.roleplay.card_macros import macro_values
from modules.chat.roleplay.macros import Macros
from modules.protocol.errors import SettingError
from modules.ui.chat_templates import NAMED

INSTRUCT, CHAT, CHAT_INSTRUCT = "instruct", "chat", "chat-instruct"
_MODES = (INSTRUCT, CHAT, CHAT_INSTRUCT)
# As in text-generation-webui: the whole chat as a dialogue.
_DIALOGUE = (
    "{%- for message in messages %}"
    "{%- if message['role'] == 'system' -%}"
    "{%- if message['content'] -%}{{- message['content'] + '\\n\\n' -}}{%- endif -%}"
    "{%- if user_bio and loop.first -%}{{- user_bio + '\\n\\n' -}}{%- endif -%}"
    "{%- else -%}"
    "{{- (name1 if message['role'] == 'user' else name2) + ': ' + message['content'] + '\\n' -}}"
    "{%- endif -%}"
    "{%- endfor -%}"
)
_COMMAND = 'Continue the chat dialogue below. Write a single reply for the character "<|character|>".\n\n<|prompt|>'


@dataclass(frozen=True)
class ChatMode:
    """How a chat becomes a prompt. `name1`: the user's name; `template`: the client's chat template, "" for that of the
    model; `character`: its file's name, or ""; `dialogue`: the template of chats with a character; `lorebooks`: their
    names."""

    mode: str = INSTRUCT
    template: str = ""
    name1: str = "You"
    name2: str = "AI"
    user_bio: str = ""
    context: str = ""
    greeting: str = ""
    dialogue: str = _DIALOGUE
    command: str = _COMMAND
    warnings: tuple[str, ...] = ()
    character: str = ""
    lorebooks: tuple[str, ...] = ()

    @property
    def plays(self) -> bool:
        """True if the model writes as a character."""
        return self.mode != INSTRUCT

    @property
    def names(self) -> dict[str, str]:
        """Return the variables for the template of the dialogue."""
        return {"name1": self.name1, "name2": self.name2, "user_bio": self.user_bio}

    @property
    def stop(self) -> list[str]:
        """Return the texts at which another speaker begins."""
        return [f"\n{self.name1}:", f"\n{self.name2}:"] if self.plays else []

    def instruction(self, dialogue: str) -> str:
        """Return the instruction to continue a dialogue."""
        return self.command.replace("<|character|>", self.name2).replace("<|prompt|>", dialogue.rstrip("\n"))


def read_mode(app: App, body: Mapping[str, object]) -> ChatMode:
    """Return the mode of a request. Raises SettingError, CharacterError or PathError."""
    mode = text_field(body, "mode", INSTRUCT)
    if mode not in _MODES:
        raise SettingError(f"'mode' must be one of {', '.join(_MODES)}.")
    template = _template(body)
    given = {name: text_field(body, name, "") for name in OF_CHARACTERS}
    lorebooks = _lorebooks(app, body)
    if mode == INSTRUCT:
        unused = [name for name, value in (*given.items(), (LOREBOOKS, lorebooks)) if value]
        needs, were = ("needs", "was") if len(unused) == 1 else ("need", "were")
        words = f"{', '.join(unused)} {needs} the mode chat or chat-instruct, and {were} ignored." if unused else ""
        return ChatMode(template=template, warnings=(words,) if words else ())
    file = given["character"] if _named(given["character"]) else ""
    character = app.characters.load(file) if file else Character("AI")
    name1 = given["name1"] or given["user_name"] or "You"
    name2 = given["name2"] or given["bot_name"] or character.spoken_name
    bio = fill_in(given["user_bio"], name1, name2).strip()
    values = macro_values(character.card, name2, ChatOptions(name1=name1, persona=bio))
    texts = (given["context"] or character.whole_context, given["greeting"] or character.greeting)
    context, greeting = (Macros(values).expand(text).strip() for text in texts)
    dialogue, command = given["chat_template_str"] or _DIALOGUE, given["chat_instruct_command"] or _COMMAND
    return ChatMode(mode, template, name1, name2, bio, context, greeting, dialogue, command, (), file, lorebooks)


def _lorebooks(app: App, body: Mapping[str, object]) -> tuple[str, ...]:
    """Return the names of lorebooks that a client asks for. Raises SettingError for one that is not there."""
    names = tuple(names_field(body, LOREBOOKS)) if body.get(LOREBOOKS) is not None else ()
    known = app.chats.lorebooks.names() if names else []
    for name in names:
        if name not in known:
            shown = ", ".join(known) or "none yet"
            raise SettingError(f"There is no lorebook named {name[:100]!r}. The lorebooks are: {shown}.")
    return names


def _named(character: str) -> bool:
    return character not in ("", "None")


def _template(body: Mapping[str, object]) -> str:
    """Return the chat template that a client sends or names, or ""."""
    if text := text_field(body, "instruction_template_str", ""):
        return text
    name = text_field(body, "instruction_template", "")
    known = {other.lower(): template for other, template in NAMED.items()}
    if name and name.lower() not in known:
        raise SettingError(
            f"There is no instruction template named {name[:100]!r}. The templates are: {', '.join(NAMED)}. Use one of "
            "them, or send the template in 'instruction_template_str'."
        )
    return known[name.lower()] if name else ""
