"""One turn as extensions see it: the state and the history they are given, and what they made of them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from modules.chat.hook_state import (
    TEMPLATE_KEYS,
    Preamble,
    history_pairs,
    hook_state,
    internal_pairs,
    messages_from_pairs,
    preamble_from_state,
    state_text,
)
from modules.chat.messages import ChatOptions, Message
from modules.generation.generation import Generation
from modules.plugins.extension_generations import answer, rewritten
from modules.plugins.manager import ExtensionManager
from modules.plugins.pipeline import Pipeline
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build, describe
from modules.runtime.model_state import ModelState
from modules.runtime.supervisor import Supervisor


class GenerationHooks:
    """The hooks of one text that is made. `state`: as the hooks have it now; `problems`: sentences about what they set
    and what cannot be used. Every method that runs hooks raises MessageFailed."""

    def __init__(self, manager: ExtensionManager, params: SamplingParams, is_chat: bool) -> None:
        manager.retry_setup()
        self._manager = manager
        self.pipeline = Pipeline(manager)
        self.problems: list[str] = []
        self.state: dict[str, Any] = {}
        self._params, self._is_chat = params, is_chat

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

    def generate(self, supervisor: Supervisor, prompt: str, asked: str, params: SamplingParams) -> Generation:
        """The Generation of the reply: the model's or an extension's, rewritten on its way where one asks for that."""

        def count(text: str) -> int:
            try:
                return len(supervisor.tokenize(text))
            except PaddockError:
                return 0

        # What an extension's own code changed of its settings and shared values reaches the worker before the reply.
        self._manager.worker.refresh()
        found = self.pipeline.reply(prompt, asked, self.state, list(params.stop), self._is_chat)
        source = answer(self.pipeline, *found, prompt, params, count) if found else supervisor.generate(prompt, params)
        members = self.pipeline.stream_modifiers()
        return rewritten(self.pipeline, source, members, self.state) if members else source

    def final_text(self, text: str) -> str:
        """The text to show of the whole reply."""
        return self.pipeline.text("output_modifier", text, self.state, self._is_chat)

    @property
    def notes(self) -> list[str]:
        """Sentences about what failed so far, and about what hooks set and cannot be used."""
        return list(dict.fromkeys([*self.pipeline.notes, *self.problems]))


class TurnHooks(GenerationHooks):
    """The hooks of one turn of a chat. `path`: the messages before the turn; `own`: those of the turn that are there
    already: the question that is answered again, and the reply that it had or that goes on."""

    def __init__(
        self,
        manager: ExtensionManager,
        chat_id: str,
        path: Sequence[Message],
        params: SamplingParams,
        options: ChatOptions,
        preamble: Preamble,
        now: ModelState,
        own: Sequence[Message] = (),
    ) -> None:
        super().__init__(manager, params, is_chat=True)
        self._options, self._preamble = options, preamble
        self._known = len(path)
        self._earlier = list(path)
        # The turn's own pair as the hooks left it, where they changed the history.
        self._row: tuple[str, str] | None = None
        history = history_pairs([*path, *own])
        fresh = self.pipeline.history(copy.deepcopy(history)) if self.pipeline.has("history_modifier") else history
        count = len(history["internal"]) - len(history_pairs(path)["internal"])
        kept = count if fresh == history else self._take(fresh, history, count)
        # What was before this turn, for hooks that make the prompt.
        self.history = {key: list(rows)[: len(rows) - kept] for key, rows in fresh.items() if isinstance(rows, list)}
        state = hook_state(chat_id, fresh, params, options, preamble, now)
        self._template = str(state[TEMPLATE_KEYS[0]])
        self.state = self.pipeline.state(state)

    def _take(self, fresh: dict[str, Any], history: dict[str, Any], count: int) -> int:
        """Take the history that the hooks made of `history`, whose last `count` pairs are the turn's own. Returns how
        many of its last pairs are. A hook that dropped the turn's own pairs dropped what came before them, too."""
        rows, before = internal_pairs(fresh), internal_pairs(history)
        own = rows[len(rows) - count :] if 0 < count <= len(rows) else []
        if own and before[-count][0]:
            older = [row[0] for row in before[:-count]]
            dropped = len(rows) < len(before) and own[0][0] != before[-count][0] and own[0][0] in older
            own = [] if dropped or not own[0][0] else own
        self._row = own[0] if own else None
        self._earlier = messages_from_pairs(rows[: len(rows) - len(own)])
        return len(own)

    def user_message(self, text: str) -> tuple[str, dict[str, Any]]:
        """(the text to show of the message that was typed, its meta)."""
        visible, inner = self.pipeline.modify_message(text, self.state)
        return visible, {} if visible == inner else {"internal": inner}

    def path(self, path: Sequence[Message]) -> list[Message]:
        """The messages for the prompt: those before the turn as the history hooks left them, and the turn's own."""
        return [*self._earlier, *(self._changed(message) for message in path[self._known :])]

    def _changed(self, message: Message) -> Message:
        text = (self._row or ("", ""))[message.role == "assistant"]
        return replace(message, meta={**message.meta, "internal": text}) if text else message

    def prompt(self, question: str, path: Sequence[Message], is_continue: bool) -> str | None:
        """The prompt that an extension makes, or None. May change the state all the same."""
        history = history_pairs(self.path(path)) if is_continue else self.history
        return self.pipeline.prompt(question, self.state, history, is_continue)

    @property
    def preamble(self) -> Preamble:
        """What comes before the first message, as the state holds it now."""
        return preamble_from_state(self.state, self._preamble)

    @property
    def options(self) -> ChatOptions:
        """How the prompt is made, as the state holds it now."""
        name1, name2 = state_text(self.state, "name1"), state_text(self.state, "name2")
        now = self._options
        template = self._changed_template() or now.template
        return replace(now, template=template, name1=name1 or now.name1, name2=name2 or now.name2)

    def _changed_template(self) -> str:
        """A chat template that hooks put in the place of the model's; "" where they left that."""
        now = (state_text(self.state, name) for name in TEMPLATE_KEYS)
        return next((text for text in now if self._template and text not in ("", self._template)), "")

    def tools(self) -> list[dict[str, Any]]:
        """The tools of extensions as chat templates know them."""
        return self.pipeline.tools()

    def meta(self) -> dict[str, Any]:
        """What the reply's meta tells of extensions, so far."""
        told: dict[str, Any] = {}
        if self.pipeline.receipt.changes:
            told["receipt"] = self.pipeline.receipt.to_json()
        if notes := self.notes:
            told["notes"] = notes
        return told


class TextHooks(GenerationHooks):
    """The hooks of a text that the model continues outside of a chat: the notebook's, or a client's. `prompt`: the text
    as they left it."""

    def __init__(
        self, manager: ExtensionManager, text: str, params: SamplingParams, options: ChatOptions, now: ModelState
    ) -> None:
        super().__init__(manager, params, is_chat=False)
        preamble = Preamble(own=options.system)
        self.state = self.pipeline.state(hook_state("", history_pairs([]), params, options, preamble, now))
        self.prompt = self.pipeline.text("input_modifier", text, self.state, is_chat=False)
