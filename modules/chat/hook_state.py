"""What hooks receive of a chat: its history as pairs, and the state with text-generation-webui's names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from modules.chat.characters import Characters
from modules.chat.layouts import stored_parts
from modules.chat.messages import ChatOptions, Message, prompt_text
from modules.chat.parts import file_parts
from modules.chat.roleplay.card_macros import macro_values
from modules.chat.roleplay.macros import Macros
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.runtime.model_state import ModelState

# The chat template's keys in the state.
TEMPLATE_KEYS = ("instruction_template_str", "chat_template_str")
# The value of `character_menu` in a chat without a character.
NO_CHARACTER = "None"
_NAMES = re.compile(r"\{\{user\}\}|<USER>|\{\{char\}\}|<BOT>")


@dataclass(frozen=True)
class Preamble:
    """What comes before the first message.

    `context`: the character's; `own`: the system prompt of its card, else the user's; `name`, `greeting`: the
    character's; `menu`: the name of its file. `before`, `after`: lorebook entries around the character; `persona`: who
    the user is.
    """

    context: str = ""
    own: str = ""
    name: str = ""
    greeting: str = ""
    menu: str = ""
    before: str = ""
    persona: str = ""
    after: str = ""

    @property
    def system(self) -> str:
        """Return the system message."""
        first = (self.own, self.context) if self.menu else (self.context, self.own)
        parts = (first[0], self.before, self.persona, first[1], self.after)
        return "\n\n".join(part.strip() for part in parts if part.strip())


def preamble_for(
    characters: Characters, name: str, options: ChatOptions, seed: str = ""
) -> tuple[Preamble, tuple[str, ...]]:
    """Return what comes before the first message of a chat with this character ("": none), and notes about it.

    `seed`: what random values in the texts follow from, so that they stay the same in a chat.
    """
    if not name:
        # Without a character only names are replaced: extensions have marks of their own.
        names = {"{{user}}": options.name1, "<USER>": options.name1, "{{char}}": options.name2, "<BOT>": options.name2}
        return Preamble(own=_NAMES.sub(lambda mark: names[mark[0]], options.system)), ()
    try:
        who = characters.load(name)
    except PaddockError as error:
        note = f"This reply was written without the character. {error.message}"
        return Preamble(own=Macros({"user": options.name1, "char": name}, seed).expand(options.system)), (note,)
    macros = Macros(macro_values(who.card, who.spoken_name, options), seed)
    own = macros.expand(who.card.system_prompt or options.system, original=options.system)
    return Preamble(macros.expand(who.context), own, who.name, who.greeting, name), ()


def preamble_from_state(state: Mapping[str, object], before: Preamble) -> Preamble:
    """Return what comes before the first message in this state. `before`: what the state was made from.

    Without a character, `context` and `custom_system_message` start with the same text; the one that a hook changed
    counts. If a hook chose the mode "instruct", an unchanged context of a character is left out.
    """
    context = state_text(state, "context", _context(before))
    own = state_text(state, "custom_system_message", before.own)
    if before.menu:
        context = "" if state.get("mode") == "instruct" and context == before.context else context
    elif context == before.own:
        context = ""
    elif own == before.own:
        own = ""
    return replace(before, context=context, own=own)


def hook_state(
    chat_id: str,
    history: Mapping[str, object],
    params: SamplingParams,
    options: ChatOptions,
    opening: Preamble,
    now: ModelState,
) -> dict[str, Any]:
    """Return the state that hooks receive, with text-generation-webui's names."""
    template = options.template or (now.info.template if now.info else "")
    return {
        **asdict(params),
        "name1": options.name1,
        "name2": opening.name or options.name2,
        "context": _context(opening),
        "greeting": opening.greeting,
        "character_menu": opening.menu or NO_CHARACTER,
        "custom_system_message": opening.own,
        **dict.fromkeys(TEMPLATE_KEYS, template),
        "mode": "chat" if opening.menu else "instruct",
        "stream": True,
        "history": history,
        "unique_id": chat_id,
        "truncation_length": now.info.context if now.info else 0,
        "custom_stopping_strings": list(params.stop),
        "model": now.model,
        "loader": now.loader,
    }


def state_text(state: Mapping[str, object], name: str, missing: str = "") -> str:
    """Return the text of this key of a state: `missing` without the key, "" if it is not text."""
    value = state.get(name, missing)
    return value if isinstance(value, str) else ""


def history_pairs(messages: Sequence[Message]) -> dict[str, list[list[str]]]:
    """Return a path as two lists of [user, reply]: for prompts and as shown, with reasoning between its markers. A
    missing half is ""."""
    inner: list[list[str]] = []
    shown: list[list[str]] = []
    for message in messages:
        if message.role == "user":
            inner.append([prompt_text(message), ""])
            shown.append([message.raw, ""])
        elif message.role == "assistant":
            if not inner or inner[-1][1]:
                inner.append(["", ""])
                shown.append(["", ""])
            inner[-1][1], shown[-1][1] = prompt_text(message), message.raw
    return {"internal": inner, "visible": shown}


def internal_pairs(history: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the pairs of a history's internal list; entries that are not pairs of texts are dropped."""
    found: list[tuple[str, str]] = []
    for pair in history.get("internal") or []:
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(text, str) for text in pair):
            found.append((pair[0], pair[1]))
    return found


def messages_from_pairs(rows: Sequence[tuple[str, str]]) -> list[Message]:
    """Return the messages of these pairs."""
    found: list[Message] = []
    for row in rows:
        for role, text in zip(("user", "assistant"), row, strict=True):
            if text:
                found.append(Message(f"history-{len(found)}", None, role, stored_parts(role, text), 0.0))
    return found


def keep_files(messages: Sequence[Message], before: Sequence[Message]) -> list[Message]:
    """Return these messages with the files of the messages `before` that have the same text."""
    files = {prompt_text(message): file_parts(message.parts) for message in before if message.role == "user"}
    return [
        replace(message, parts=(*files.get(prompt_text(message), ()), *message.parts))
        if message.role == "user"
        else message
        for message in messages
    ]


def _context(opening: Preamble) -> str:
    """Return the context for hooks. Without a character it is the user's system message."""
    return opening.context if opening.menu else opening.own
