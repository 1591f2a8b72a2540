"""Chats for a server that renders them itself.

The host renders every chat to one text with the template of ModelInfo. Where only the server knows the model's
template, that template is TEMPLATE: it writes roles and contents between marks that no text of a person contains, so
that the messages can be read back here and sent as messages. A prompt without marks is an ordinary text.
"""

from __future__ import annotations

from dataclasses import dataclass

# From Unicode's last private plane; where a message holds one all the same, the template leaves it out.
_ROLE, _TEXT, _END = "\U0010fd01", "\U0010fd02", "\U0010fd03"
_CLEAN = "".join(f"|replace('{mark}', '')" for mark in (_ROLE, _TEXT, _END))
TEMPLATE = (
    "{% for message in messages %}"
    f"{_ROLE}{{{{ message['role']{_CLEAN} }}}}{_TEXT}{{{{ message['content']{_CLEAN} }}}}"
    f"{{% if add_generation_prompt or not loop.last %}}{_END}{{% endif %}}"
    "{% endfor %}"
)
SOURCE = "the server, which renders chats itself"


@dataclass(frozen=True)
class Chat:
    """Messages as an API takes them. `open`: the last one is an unfinished reply to go on with."""

    messages: list[dict[str, str]]
    open: bool

    @property
    def text(self) -> str:
        """All contents: what there is to count."""
        return "\n".join(message["content"] for message in self.messages)


def read_chat(prompt: str) -> Chat | None:
    """The chat that TEMPLATE wrote; None for any other prompt."""
    if not prompt.startswith(_ROLE):
        return None
    messages = []
    for part in prompt.split(_ROLE)[1:]:
        role, _, content = part.partition(_TEXT)
        messages.append({"role": role, "content": content.removesuffix(_END)})
    return Chat(messages, not prompt.endswith(_END))
