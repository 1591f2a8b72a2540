"""Which special token a chat template writes behind a reply: the model was taught to end its turns with it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from modules.protocol.errors import PromptError
from modules.worker.template_process import TemplateProcess

_REPLY = "paddock-reply"
_NEXT = "paddock-question"
# The template's own variable: nothing is wanted behind the last message.
_NO_PROMPT = {"add_generation_prompt": False}
_CHAT: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": _REPLY},
    {"role": "user", "content": _NEXT},
]
# A template that refuses the one may take the other.
_CHATS = (_CHAT, _CHAT[:2])
# With these two a reply is several messages (OpenAI's harmony): the end of a message is not that of the turn.
_CHANNELS = {"<|channel|>", "<|message|>"}
_MESSAGE_END = "<|end|>"


def end_of_turn_token(
    templates: TemplateProcess | None, template: str, bos: str, eos: str, names: Collection[str]
) -> str:
    """The first of the special tokens `names` that a chat template writes behind a reply; "" where it writes none.

    `bos`, `eos`: the names of the tokens that begin and end a text, which the template may write.
    """
    for chat in _CHATS if templates and template else ():
        try:
            assert templates is not None
            text = templates.render(template, chat, continue_last=False, bos=bos, eos=eos, variables=_NO_PROMPT)
        except PromptError:
            continue
        behind = text.rpartition(_REPLY)[2].partition(_NEXT)[0]
        found = [(at, -len(name), name) for name in names if name and (at := behind.find(name)) >= 0]
        name = min(found)[2] if found else ""
        return "" if ends_message_only(name, names) else name
    return ""


def ends_message_only(name: str, names: Collection[str]) -> bool:
    """Whether the special token `name` ends one of several messages of a reply, in a vocabulary of these `names`."""
    return name == _MESSAGE_END and set(names) >= _CHANNELS
