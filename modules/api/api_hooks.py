"""Run the hooks of extensions for API clients: the same hooks as on the page, in the same order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from modules.api.chat_input import ChatInput, may_be_cut
from modules.app import App
from modules.chat.hook_state import Preamble
from modules.chat.messages import ChatOptions, Message, prompt_text
from modules.chat.parts import plain
from modules.chat.prompt import render_chat
from modules.chat.turn_hooks import GenerationHooks, TextHooks, TurnHooks
from modules.families.message_content import content_text, replace_text
from modules.generation.generation import Generation
from modules.plugins.extension_generations import completed
from modules.protocol.commands import Generate
from modules.protocol.sampling import SamplingParams
from modules.runtime.loaded_model import LoadedModel

_SYSTEM = ("system", "developer")
_CHAT_ROLES = ("user", "assistant")


@dataclass(frozen=True)
class HookedPrompt:
    """A prompt after the hooks.

    `question`: the user's last message; `tokens`: the prompt's length, None where it has not been counted. `prefix`:
    text that the answer begins with, after `opening`, the reasoning that the prompt begins; `hidden`: the prompt ends
    with text that the client must not see; `notes`: sentences about messages that were moved. `chat`: what the worker
    makes the prompt from, unless a hook made it; `prompt` is then "" unless a hook gets its text.
    """

    hooks: GenerationHooks
    prompt: str
    question: str
    tokens: int | None = None
    prefix: str = ""
    hidden: bool = False
    notes: tuple[str, ...] = ()
    opening: str = ""
    chat: Generate | None = None

    def generate(
        self, model: LoadedModel, params: SamplingParams, live: bool, fill_context: bool = False
    ) -> Generation:
        """Return the generation of the answer by `model`, after the hook `output_modifier`.

        `live`: text passes as it arrives, if no extension has that hook. `fill_context`: as in Generate.
        """
        hooks = self.hooks
        chat = may_be_cut(replace(self.chat, fill_context=fill_context), params) if self.chat else None
        source = hooks.generate(model, self.prompt, self.question, params, chat)
        prefix = (source.prompted.opening if source.prompted else self.opening) + self.prefix
        final = hooks.pipeline.has("output_modifier")
        if not (final or prefix or self.hidden):
            return source
        return completed(source, prefix, hooks.final_text, live and not final, self.hidden)


def hooked_text(app: App, model: LoadedModel, text: str, params: SamplingParams) -> HookedPrompt:
    """Run the hooks on a text that the model continues. Raises MessageFailed."""
    hooks = TextHooks(app.extensions, text, params, ChatOptions(), model.state)
    return HookedPrompt(hooks, hooks.prompt, text)


def hooked_chat(
    app: App, model: LoadedModel, asked: ChatInput, params: SamplingParams, continue_last: bool = False
) -> HookedPrompt:
    """Run the hooks on a chat. A user's last message counts as one that was just sent. Raises MessageFailed.

    `continue_last`: the last message is the beginning of the reply.
    """
    messages, options = asked.messages, ChatOptions(template=asked.template)
    own = "\n\n".join(content_text(message["content"]) for message in messages if message["role"] in _SYSTEM)
    places = [place for place, message in enumerate(messages) if message["role"] in _CHAT_ROLES]
    path = [
        Message(str(place), None, messages[place]["role"], plain(content_text(messages[place]["content"])), 0.0)
        for place in places
    ]
    question = path.pop() if path and path[-1].role == "user" else None
    turn = TurnHooks(app.extensions, "", path, params, options, Preamble(own=own), model.state)
    whole = list(path)
    if question is not None:
        visible, meta = turn.user_message(question.text)
        whole.append(Message(question.id, None, "user", plain(visible), 0.0, meta=meta))
    text = prompt_text(whole[-1]) if question is not None else ""
    prompt = turn.prompt(text, whole, continue_last)
    chat: Generate | None = None
    tokens: int | None = None
    notes: tuple[str, ...] = ()
    opening = ""
    if prompt is None:
        changed = _changed(messages, turn, whole, own)
        chat = replace(asked.command(continue_last), messages=changed, template=turn.options.template)
        if turn.wants_prompt:
            rendered, notes, turns = render_chat(model, chat)
            prompt, tokens, opening = rendered.prompt, rendered.tokens, rendered.opening
            chat = replace(chat, messages=turns)
    prefix, shown = ("", "") if continue_last else turn.pipeline.bot_prefix(turn.state)
    own_prefix = asked.reply_prefix + prefix
    chat = replace(chat, reply_prefix=own_prefix) if chat else None
    if prompt is None:
        return HookedPrompt(turn, "", text, None, shown, prefix != shown, chat=chat)
    counted = turn.pipeline.length(prompt)
    tokens = tokens if counted is None else counted
    return HookedPrompt(turn, prompt + own_prefix, text, tokens, shown, prefix != shown, notes, opening, chat)


def _changed(
    messages: Sequence[dict[str, Any]], turn: TurnHooks, whole: Sequence[Message], own: str
) -> list[dict[str, Any]]:
    """Return the client's messages with the changes of the hooks.

    If the hooks kept history and system message, the messages stay in their places; otherwise the list is built from
    both.
    """
    now, system = turn.path(whole), turn.preamble.system
    if system == own.strip() and [message.id for message in now] == [message.id for message in whole]:
        texts = {message.id: prompt_text(message) for message in now}
        return [
            {**one, "content": replace_text(one["content"], texts[str(place)])} if str(place) in texts else one
            for place, one in enumerate(messages)
        ]
    first = [{"role": "system", "content": system}] if system else []
    known = {str(place): one["content"] for place, one in enumerate(messages)}
    return [
        *first,
        *({"role": one.role, "content": replace_text(known.get(one.id), prompt_text(one))} for one in now),
    ]
