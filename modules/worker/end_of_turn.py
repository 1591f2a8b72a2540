"""Finds the special token that a chat template writes after a reply: the model was trained to end its turns with it."""

from __future__ import annotations

from collections.abc import Collection

from modules.protocol.errors import PromptError
from modules.worker.template_process import TemplateProcess

_REPLY = "paddock-reply"
_NEXT = "paddock-question"
# The template's variable: write nothing after the last message.
_NO_PROMPT = {"add_generation_prompt": False}
_CHAT: list[dict[str, object]] = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": _REPLY},
    {"role": "user", "content": _NEXT},
]
# A template that refuses the first may accept the second.
_CHATS = (_CHAT, _CHAT[:2])
# With these two, a reply has several messages (OpenAI's harmony), and the end of a message is not that of the turn.
_CHANNELS = {"<|channel|>", "<|message|>"}
_MESSAGE_END = "<|end|>"


def end_of_turn_token(
    templates: TemplateProcess | None, template: str, bos: str, eos: str, names: Collection[str]
) -> str:
    """Return the first of the special tokens `names` that a chat template writes after a reply, or "".

    `bos`, `eos`: names of the tokens that begin and end a text, for the template.
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
    """Return True if the token `name` ends a message but not the reply, in a vocabulary with these `names`."""
    return name == _MESSAGE_END and set(names) >= _CHANNELS
