"""Makes the request for a reply from a chat's messages: the whole chat for the worker, or a prompt fitted here.

The worker fits a chat to the context. The host does so only where an extension wants the text of the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from modules.chat.layouts import stored_parts
from modules.chat.messages import ChatOptions, Message
from modules.chat.parts import IMAGE, raw_text, reasoning_text, visible_text
from modules.chat.tool_formats import takes_tools
from modules.chat.tool_prompt import RESULT_START, prepare_messages
from modules.chat.tool_turns import round_turns, split_rounds
from modules.families.chat_fitting import fit_chat
from modules.families.turn_order import Render, RenderedTurns, render_turns
from modules.plugins.tools.tool import Tool
from modules.protocol.commands import Generate
from modules.protocol.events import ChatPromptResult, Prompted
from modules.protocol.sampling import SamplingParams
from modules.runtime.loaded_model import LoadedModel


@dataclass(frozen=True)
class FittedPrompt:
    """A prompt that fits the context.

    `left_out`: how many of the oldest messages are not in it. `notes`: sentences about how it was made. `opening`: the
    reasoning that the prompt begins for the reply. `turns`: the messages that are in it.
    """

    prompt: str
    left_out: int = 0
    notes: tuple[str, ...] = ()
    opening: str = ""
    turns: tuple[dict[str, Any], ...] = ()


def fit(render: Render, chat: Generate, context: int) -> FittedPrompt:
    """Render the chat so that it and the reply fit `context` tokens (0: unknown, so all messages go in).

    Room for the reply is the longest reply, at most half of the context; `fit_chat` has the rules. Raises PromptError
    where `chat.overflow` is "refuse" and the chat is too long, or where the template fails.
    """
    rendered, left_out = fit_chat(
        render,
        chat.messages,
        context=context,
        max_new_tokens=chat.params.max_new_tokens,
        refuse=chat.overflow == "refuse",
        keep_first=chat.keep_first,
        left_out=chat.left_out,
    )
    result = rendered.result
    return FittedPrompt(result.prompt, left_out, rendered.notes, result.opening, tuple(rendered.turns))


def chat_request(
    system: str,
    path: Sequence[Message],
    options: ChatOptions,
    params: SamplingParams,
    *,
    continue_last: bool = False,
    variables: dict[str, object] | None = None,
    tools: Sequence[Tool] = (),
    template: str = "",
) -> Generate:
    """Return the command that lets the worker render the chat, fit it to the context and answer it. Its id is "".

    `tools`: those that the model may call; `template`: the model's chat template, which decides how it reads them.
    """
    used = options.template or template
    first = [{"role": "system", "content": system}] if system.strip() else []
    turns = [turn for message in path for turn in message_turns(message)]
    if continue_last:
        turns[-1] = {"role": path[-1].role, "content": continued_text(path[-1])}
    messages, offered = prepare_messages([*first, *turns], [tool.declaration() for tool in tools], used)
    if tools and not takes_tools(used):
        # A model that writes the result itself is stopped there.
        params = replace(params, stop=[*params.stop, RESULT_START])
    return Generate(
        "",
        params=params,
        messages=messages,
        template=options.template,
        continue_last=continue_last,
        variables={**(variables or {}), **offered},
        overflow=options.overflow,
        keep_first=len(messages) - len(turns),
        left_out=_last_cut(path),
        thinking_budget=options.thinking_budget,
    )


def render_chat(model: LoadedModel, chat: Generate) -> RenderedTurns:
    """Render the messages of `chat` in the worker, without fitting them. Raises PromptError."""

    def render(turns: list[dict[str, object]]) -> ChatPromptResult:
        return model.chat_prompt(turns, chat.template, chat.continue_last, chat.variables)

    return render_turns(render, chat.messages)


def prompt_facts(prompted: Prompted | None) -> FittedPrompt:
    """Return the facts of a prompt that the worker made, without its text. All are empty if it made none."""
    if prompted is None:
        return FittedPrompt("")
    return FittedPrompt("", prompted.left_out, tuple(prompted.notes), prompted.opening)


def message_turns(message: Message) -> list[dict[str, Any]]:
    """Return a message for a chat template: several turns if tools were called in it.

    Its images are in it. Templates that read earlier reasoning take it apart from the content.
    """
    *rounds, last = split_rounds(message.parts)
    turns = [turn for one in rounds for turn in round_turns(one)]
    internal = message.meta.get("internal")
    parts = last if internal is None else stored_parts(message.role, str(internal))
    if rounds and not parts:
        return turns
    images = [{"type": "image", "path": part.meta["path"]} for part in parts if part.kind == IMAGE]
    text = visible_text(parts)
    turn: dict[str, Any] = {
        "role": message.role,
        "content": [*images, {"type": "text", "text": text}] if images else text,
    }
    reasoning = reasoning_text(parts)
    return [*turns, {**turn, "reasoning_content": reasoning} if reasoning else turn]


def continued_text(message: Message) -> str:
    """Return what prompts hold of the last round of a reply, with reasoning and its markers."""
    return str(message.meta.get("internal", raw_text(split_rounds(message.parts)[-1])))


def _last_cut(path: Sequence[Message]) -> int:
    """Return how many messages the latest reply of the path left out."""
    return next((message.meta.get("left_out", 0) for message in reversed(path) if message.role == "assistant"), 0)
