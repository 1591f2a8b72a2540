"""One turn as extensions see it: the state and the history they are given, and what they made of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from modules.chat.characters import CharacterError, Characters, fill_in
from modules.chat.messages import ChatOptions, Message, internal
from modules.generation.generation import Generation
from modules.plugins.answers import answer, rewritten
from modules.plugins.manager import ExtensionManager
from modules.plugins.pipeline import Pipeline
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build, describe
from modules.runtime.state import State
from modules.runtime.supervisor import Supervisor

# The chat template's names in the state.
_TEMPLATES = ("instruction_template_str", "chat_template_str")


@dataclass(frozen=True)
class Opening:
    """What comes before the first message: `context` (the character's), `own` (the user's system message), and the
    character's name and greeting; `menu`: what its file is called."""

    context: str = ""
    own: str = ""
    name: str = ""
    greeting: str = ""
    menu: str = ""

    @property
    def system(self) -> str:
        """The system message."""
        return "\n\n".join(part for part in (self.context.strip(), self.own.strip()) if part)


def opening_of(characters: Characters, name: str, options: ChatOptions) -> tuple[Opening, tuple[str, ...]]:
    """What comes before the first message of a chat with the character of that name ("": none): the character's context
    and the user's own; and sentences about it."""
    if not name:
        return Opening(own=fill_in(options.system, options.name1, options.name2)), ()
    try:
        who = characters.load(name)
    except CharacterError as error:
        note = f"This was written without the character. {error.message}"
        return Opening(own=fill_in(options.system, options.name1, name)), (note,)
    context, own = (fill_in(part, options.name1, who.name) for part in (who.context, options.system))
    return Opening(context, own, who.name, who.greeting, name), ()


class Turn:
    """The hooks of one turn. Made before the message of the turn is stored; `path`: the messages before it."""

    def __init__(
        self,
        manager: ExtensionManager,
        chat_id: str,
        path: Sequence[Message],
        params: SamplingParams,
        options: ChatOptions,
        opening: Opening,
        now: State,
    ) -> None:
        # Settings that an extension's own code changed reach the worker before the reply.
        manager.refresh_worker()
        self.pipeline = Pipeline(manager)
        self._known = len(path)
        self.problems: list[str] = []
        self._params, self._options, self._opening = params, options, opening
        history = pairs(path)
        fresh = self.pipeline.history(copy.deepcopy(history)) if self.pipeline.has("history_modifier") else history
        self._earlier = list(path) if fresh == history else messages_of(fresh)
        self.history = fresh
        state = state_of(chat_id, fresh, params, options, opening, now)
        self._template = str(state[_TEMPLATES[0]])
        self.state = self.pipeline.state(state)

    def asked(self, text: str) -> tuple[str, dict[str, Any]]:
        """(the text to show of the message that was typed, its meta)."""
        visible, inner = self.pipeline.asked(text, self.state)
        return visible, {} if visible == inner else {"internal": inner}

    def path(self, path: Sequence[Message]) -> list[Message]:
        """The messages for the prompt: those before the turn as the history hooks left them, and the turn's own."""
        return [*self._earlier, *path[self._known :]]

    def prompt(self, question: str, path: Sequence[Message], is_continue: bool) -> str | None:
        """The prompt that an extension makes, or None. May change the state all the same."""
        history = pairs(self.path(path)) if is_continue else self.history
        return self.pipeline.prompt(question, self.state, history, is_continue)

    @property
    def params(self) -> SamplingParams:
        """The sampling parameters as the state holds them now; one that cannot be used stays as the user set it."""
        changed: dict[str, Any] = {}
        for entry in describe(SamplingParams):
            value = self.state.get(entry.name, getattr(self._params, entry.name))
            if value != getattr(self._params, entry.name):
                try:
                    changed[entry.name] = getattr(build(SamplingParams, {entry.name: value}), entry.name)
                except PaddockError as error:
                    self.problems.append(f"An extension set what cannot be used. {error.message}")
        return replace(self._params, **changed) if changed else self._params

    @property
    def opening(self) -> Opening:
        """What comes before the first message, as the state holds it now."""
        context, own = _text(self.state, "context"), _text(self.state, "custom_system_message")
        return replace(self._opening, context=context, own=own)

    @property
    def options(self) -> ChatOptions:
        """How the prompt is made, as the state holds it now."""
        name1, name2 = _text(self.state, "name1"), _text(self.state, "name2")
        now = self._options
        template = self._changed_template() or now.template
        return replace(now, template=template, name1=name1 or now.name1, name2=name2 or now.name2)

    def _changed_template(self) -> str:
        """A chat template that hooks put in the place of the model's; "" where they left that."""
        now = (_text(self.state, name) for name in _TEMPLATES)
        return next((text for text in now if self._template and text not in ("", self._template)), "")

    def generate(self, supervisor: Supervisor, prompt: str, asked: str, params: SamplingParams) -> Generation:
        """The Generation of the reply: the model's or an extension's, rewritten on its way where one asks for that."""
        found = self.pipeline.reply(prompt, asked, self.state, list(params.stop))
        source = answer(self.pipeline, *found, prompt, params) if found else supervisor.generate(prompt, params)
        members = self.pipeline.streamers()
        return rewritten(self.pipeline, source, members, self.state) if members else source

    def tools(self) -> list[dict[str, Any]]:
        """The tools of extensions as chat templates know them."""
        return self.pipeline.tools()

    def meta(self) -> dict[str, Any]:
        """What the reply's meta tells of extensions, so far."""
        told: dict[str, Any] = {}
        if self.pipeline.changes:
            told["receipt"] = self.pipeline.receipt
        if notes := [*self.pipeline.notes, *self.problems]:
            told["notes"] = list(dict.fromkeys(notes))
        return told

    def finish(self, text: str) -> str:
        """The text to show of the whole reply."""
        return self.pipeline.output(text, self.state)


def pairs(messages: Sequence[Message]) -> dict[str, list[list[str]]]:
    """A path as two lists of [user, reply]: what prompts hold and what is shown. Without one half, "" stands for it."""
    inner: list[list[str]] = []
    shown: list[list[str]] = []
    for message in messages:
        if message.role == "user":
            inner.append([internal(message), ""])
            shown.append([message.text, ""])
        elif message.role == "assistant":
            if not inner or inner[-1][1]:
                inner.append(["", ""])
                shown.append(["", ""])
            inner[-1][1], shown[-1][1] = internal(message), message.text
    return {"internal": inner, "visible": shown}


def messages_of(history: Mapping[str, Any]) -> list[Message]:
    """The messages that a history's internal half holds; what is not a pair of texts is left out."""
    found: list[Message] = []
    for pair in history.get("internal") or []:
        if isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(text, str) for text in pair):
            for role, text in zip(("user", "assistant"), pair, strict=True):
                if text:
                    found.append(Message(f"history-{len(found)}", None, role, text, 0.0))
    return found


def state_of(
    chat_id: str,
    history: dict[str, Any],
    params: SamplingParams,
    options: ChatOptions,
    opening: Opening,
    now: State,
) -> dict[str, Any]:
    """The state that hooks are given, in the names of text-generation-webui."""
    template = options.template or (now.info.template if now.info else "")
    return {
        **asdict(params),
        "name1": options.name1,
        "name2": opening.name or options.name2,
        "context": opening.context,
        "greeting": opening.greeting,
        "character_menu": opening.menu,
        "custom_system_message": opening.own,
        **dict.fromkeys(_TEMPLATES, template),
        "mode": "chat" if opening.menu else "instruct",
        "stream": True,
        "history": history,
        "unique_id": chat_id,
        "truncation_length": now.info.context if now.info else 0,
        "custom_stopping_strings": list(params.stop),
        "model": now.model,
        "loader": now.loader,
    }


def _text(state: Mapping[str, Any], name: str) -> str:
    value = state.get(name)
    return value if isinstance(value, str) else ""
