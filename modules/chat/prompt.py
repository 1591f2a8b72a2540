"""Makes the request for a reply from a chat's messages: the whole chat for the worker, or a prompt fitted here.

The worker fits a chat to the context. The host does so only where an extension wants the text of the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

from modules.chat.forced_calls import forced_calls
from modules.chat.layouts import stored_parts
from modules.chat.messages import ChatOptions, Message
from modules.chat.parts import MEDIA, TOOL_CALL, TOOL_RESULT, raw_text, reasoning_text, visible_text
from modules.chat.tool_formats import takes_tools
from modules.chat.tool_prompt import RESULT_START, prepare_messages
from modules.chat.tool_turns import round_turns, split_rounds
from modules.families.chat_fitting import CountTokens, fit_chat
from modules.families.reasoning import EFFORT, THINKING_SWITCHES
from modules.families.turn_order import Render, RenderedTurns, render_turns
from modules.plugins.tools.tool import Tool
from modules.protocol.commands import Generate
from modules.protocol.events import ChatPromptResult, Prompted
from modules.protocol.sampling import SamplingParams
from modules.runtime.loaded_model import LoadedModel


@dataclass(frozen=True)
class FittedPrompt:
    """A prompt that fits the context.

    `left_out`: how many of the oldest turns are not in it. `notes`: sentences about how it was made. `opening`: the
    reasoning that the prompt begins for the reply. `turns`: the messages that are in it.
    """

    prompt: str
    left_out: int = 0
    notes: tuple[str, ...] = ()
    opening: str = ""
    turns: tuple[Mapping[str, object], ...] = ()


def fit(render: Render, chat: Generate, context: int, count: CountTokens) -> FittedPrompt:
    """Render the chat so that it and the reply fit `context` tokens (0: unknown, so all messages go in).

    Room for the reply is the longest reply, at most half of the context; `fit_chat` has the rules. `count` returns the
    tokens of texts. Raises PromptError where `chat.overflow` is "refuse" and the chat is too long, or where the
    template fails.
    """
    rendered, left_out = fit_chat(
        render,
        chat.messages,
        context=context,
        max_new_tokens=chat.params.max_new_tokens,
        refuse=chat.overflow == "refuse",
        keep_first=chat.keep_first,
        count=count,
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
    must_call: bool = False,
) -> Generate:
    """Return the command that lets the worker render the chat, fit it to the context and answer it. Its id is "".

    `tools`: those that the model may call, or must if `must_call`; `template`: the chat template of the model, which
    decides how it reads them.
    """
    used = options.template or template
    first: list[dict[str, object]] = [{"role": "system", "content": system}] if system.strip() else []
    turns = [turn for message in path for turn in message_turns(message)]
    if continue_last:
        turns[-1] = {"role": path[-1].role, "content": continued_text(path[-1])}
    messages, offered = prepare_messages([*first, *turns], [tool.declaration() for tool in tools], used)
    if tools and must_call and not (params.json_schema or params.grammar_string):
        params = replace(params, json_schema=forced_calls(tools)[0])
    elif tools and not takes_tools(used):
        # A model that writes the result itself is stopped there.
        params = replace(params, stop=[*params.stop, RESULT_START])
    return Generate(
        "",
        params=params,
        messages=messages,
        template=options.template,
        continue_last=continue_last,
        variables={**(variables or {}), **offered},
        overflow="refuse" if options.overflow == "refuse" else "cut",
        keep_first=len(messages) - len(turns),
        thinking_budget=options.thinking_budget,
    )


def sampling_of(params: SamplingParams, options: ChatOptions) -> SamplingParams:
    """Return the parameters of a chat's reply, which may not cut a chat that is to be refused."""
    return replace(params, truncate=params.truncate and options.overflow != "refuse")


def template_variables(options: ChatOptions) -> dict[str, object]:
    """Return the variables for the chat template."""
    names: dict[str, Any] = {"name1": options.name1, "name2": options.name2}
    if options.thinking is not None:
        names |= dict.fromkeys(THINKING_SWITCHES, options.thinking)
    if options.effort:
        names[EFFORT] = options.effort
    return names


def render_chat(model: LoadedModel, chat: Generate) -> RenderedTurns:
    """Render the messages of `chat` in the worker, without fitting them. Raises PromptError."""

    def render(turns: Sequence[Mapping[str, object]]) -> ChatPromptResult:
        return model.chat_prompt(turns, chat.template, chat.continue_last, chat.variables)

    return render_turns(render, chat.messages)


def prompt_facts(prompted: Prompted | None) -> FittedPrompt:
    """Return the facts of a prompt that the worker made, without its text. All are empty if it made none."""
    if prompted is None:
        return FittedPrompt("")
    return FittedPrompt("", prompted.left_out, tuple(prompted.notes), prompted.opening)


def message_turns(message: Message) -> list[dict[str, Any]]:
    """Return a message for a chat template: several turns if tools were called in it.

    Its images and sounds are in it. Templates that read earlier reasoning take it apart from the content.
    """
    *rounds, last = split_rounds(message.parts)
    turns = [turn for one in rounds for turn in round_turns(one)]
    internal = message.meta.get("internal")
    parts = last if internal is None else stored_parts(message.role, str(internal))
    if rounds and not parts:
        return turns
    media = [{"type": part.kind, "path": part.meta["path"]} for part in parts if part.kind in MEDIA]
    text = visible_text(parts)
    turn: dict[str, object] = {
        "role": message.role,
        "content": [*media, {"type": "text", "text": text}] if media else text,
    }
    reasoning = reasoning_text(parts)
    return [*turns, {**turn, "reasoning_content": reasoning} if reasoning else turn]


def _turn_count(message: Message) -> int:
    """Return how many turns `message_turns` makes of a message, without making those of one that called no tools."""
    called = any(part.kind in (TOOL_CALL, TOOL_RESULT) for part in message.parts)
    return len(message_turns(message)) if called else 1


def continued_text(message: Message) -> str:
    """Return what prompts hold of the last round of a reply, with reasoning and its markers."""
    return str(message.meta.get("internal", raw_text(split_rounds(message.parts)[-1])))


def cut_facts(path: Sequence[Message], left_out: int, covered: int = 0) -> dict[str, Any]:
    """Return the meta of a reply whose prompt left out the first messages of the path; {} if it left out none.

    `covered`: messages that a summary stands for; `left_out`: turns after them. The meta: "left_out": how many messages
    of the path; "cut_moved": False if an earlier reply of the path left out as many.
    """
    if not left_out and not covered:
        return {}
    ends = accumulate(_turn_count(message) for message in path[covered:])
    place = min(covered + sum(end <= left_out for end in ends), len(path) - 1)
    before = next((message.meta["left_out"] for message in reversed(path) if message.meta.get("left_out")), 0)
    return {"left_out": place, "cut_moved": before != place}


def note_prompt(
    meta: dict[str, Any], fitted: FittedPrompt, path: Sequence[Message], notes: Sequence[str], covered: int = 0
) -> None:
    """Add to a reply's meta what its prompt left out, and notes about it."""
    meta |= cut_facts(path, fitted.left_out, covered)
    if notes or fitted.notes:
        meta["notes"] = [*notes, *fitted.notes]
