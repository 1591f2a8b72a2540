"""The values of macros in a chat: names, the fields of the card, the persona, and the last messages."""

from __future__ import annotations

import re
from collections.abc import Sequence

from modules.chat.messages import ChatOptions, Message
from modules.chat.roleplay.card_fields import CardFields

_START = re.compile(r"(?im)^[ \t]*<START>[ \t]*$\n?")


def macro_values(
    card: CardFields, name: str, options: ChatOptions, path: Sequence[Message] = (), members: Sequence[str] = ()
) -> dict[str, str]:
    """Return macro -> value. `name`: the character's, for {{char}}; `members`: the names in a group."""
    return {
        "user": options.name1,
        "char": name,
        "group": ", ".join(members) or name,
        "description": card.description,
        "personality": card.personality,
        "scenario": card.scenario,
        "persona": options.persona,
        "mesexamples": _START.sub("\n", card.mes_example).strip(),
        "charprompt": card.system_prompt,
        "charinstruction": card.post_history_instructions,
        "char_version": card.character_version,
        "original": "",
        "lastmessage": path[-1].text if path else "",
        "lastusermessage": _last(path, "user"),
        "lastcharmessage": _last(path, "assistant"),
        "lastmessageid": str(len(path) - 1) if path else "",
    }


def _last(path: Sequence[Message], role: str) -> str:
    return next((message.text for message in reversed(path) if message.role == role), "")
