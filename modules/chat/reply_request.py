"""What a reply answers and how, and a reply on its way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from modules.chat.messages import ChatOptions, Message
from modules.chat.parts import raw_text
from modules.chat.parts_reader import PartsReader
from modules.chat.reply import Reply
from modules.chat.tool_turns import split_rounds
from modules.chat.turn_hooks import TurnHooks
from modules.generation.generation import Generation
from modules.plugins.failures import MessageFailed
from modules.plugins.tools.tool import Tool
from modules.protocol.sampling import SamplingParams


@dataclass(frozen=True)
class ReplyRequest:
    """What a reply answers, and how.

    `parent`: the message below which the reply goes; `path`: the messages of the prompt, root to leaf. `previous`: the
    reply that is continued if it ends `path`, else the one that is written again. `impersonates`: the model writes the
    user's next message, without the hooks of extensions. `turn`: the turn's hooks, where they
    have run on the user's message; `failed`: the error of such a hook, which the reply then shows. `tools`: those that
    the model may call; `must_call`: it cannot begin with anything else.
    """

    parent: str | None
    path: Sequence[Message]
    params: SamplingParams
    options: ChatOptions
    previous: Message | None = None
    turn: TurnHooks | None = None
    failed: MessageFailed | None = None
    tools: Sequence[Tool] = ()
    must_call: bool = False
    impersonates: bool = False

    @property
    def continues(self) -> bool:
        """Return True if the reply continues the last message of `path`."""
        return self.previous is not None and bool(self.path) and self.path[-1].id == self.previous.id

    @property
    def kinds(self) -> tuple[str, ...]:
        """Return what kinds of replies this is, by the names that lorebook entries have for them."""
        if self.impersonates or self.continues:
            return ("impersonate" if self.impersonates else "continue",)
        return ("swipe", "regenerate") if self.previous is not None else ("normal",)

    @property
    def prefix(self) -> str:
        """Return what the reply continues as the model wrote it, or "". Of a reply with calls: its last round."""
        return raw_text(split_rounds(self.path[-1].parts)[-1]) if self.continues else ""


@dataclass(frozen=True)
class StartedReply:
    """A reply on its way.

    `reader`: has read what is before the generation's text; `on_end`: called when the generation has ended.
    """

    generation: Generation
    reader: PartsReader
    meta: dict[str, Any]
    on_end: Callable[[Reply], None] | None = None
