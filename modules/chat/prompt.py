"""Makes the request for a reply from a chat's messages: the whole chat for the worker, or a prompt fitted here.

The worker fits a chat to the context. The host does so only where an extension wants the text of the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modules.chat.layouts import stored_parts
from modules.chat.messages import ChatOptions, Message, prompt_text
from modules.chat.parts import IMAGE, reasoning_text, visible_text
from modules.families.chat_fitting import fit_chat
from modules.families.turn_order import Render, RenderedTurns, render_turns
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


def fit(
    render: Render,
    system: str,
    path: Sequence[Message],
    options: ChatOptions,
    context: int,
    max_new_tokens: int,
    continue_last: bool = False,
) -> FittedPrompt:
    """Render the chat so that it and the reply fit `context` tokens (0: unknown, so all messages go in).

    Room for the reply is `max_new_tokens`, at most half of the context; `fit_chat` has the rules. Raises PromptError
    where `options.overflow` is "refuse" and the chat is too long, or where the template fails.
    """
    messages = _messages(system, path, continue_last)
    rendered, left_out = fit_chat(
        render,
        messages,
        context=context,
        max_new_tokens=max_new_tokens,
        refuse=options.overflow == "refuse",
        keep_first=len(messages) - len(path),
        left_out=_last_cut(path),
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
) -> Generate:
    """Return the command that lets the worker render the chat, fit it to the context and answer it. Its id is ""."""
    messages = _messages(system, path, continue_last)
    return Generate(
        "",
        params=params,
        messages=messages,
        template=options.template,
        continue_last=continue_last,
        variables=variables or {},
        overflow=options.overflow,
        keep_first=len(messages) - len(path),
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


def _messages(system: str, path: Sequence[Message], continue_last: bool) -> list[dict[str, Any]]:
    first = [{"role": "system", "content": system}] if system.strip() else []
    turns = [_turn(message) for message in path]
    if continue_last:
        turns[-1] = {"role": path[-1].role, "content": prompt_text(path[-1])}
    return [*first, *turns]


def _turn(message: Message) -> dict[str, Any]:
    """Return a message for a chat template, with its images. Templates that read earlier reasoning take it apart from
    the content."""
    internal = message.meta.get("internal")
    parts = message.parts if internal is None else stored_parts(message.role, str(internal))
    images = [{"type": "image", "path": part.meta["path"]} for part in parts if part.kind == IMAGE]
    text = visible_text(parts)
    turn: dict[str, Any] = {
        "role": message.role,
        "content": [*images, {"type": "text", "text": text}] if images else text,
    }
    reasoning = reasoning_text(parts)
    return {**turn, "reasoning_content": reasoning} if reasoning else turn


def _last_cut(path: Sequence[Message]) -> int:
    """Return how many messages the latest reply of the path left out."""
    return next((message.meta.get("left_out", 0) for message in reversed(path) if message.role == "assistant"), 0)
