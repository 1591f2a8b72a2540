"""Run the hooks of extensions in one turn, and collect what they changed in its state and history."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from modules.chat.hook_state import (
    TEMPLATE_KEYS,
    Preamble,
    history_pairs,
    hook_state,
    internal_pairs,
    keep_files,
    messages_from_pairs,
    preamble_from_state,
    state_text,
)
from modules.chat.messages import ChatOptions, Message
from modules.generation.generation import Generation
from modules.plugins.extension_generations import answer, rewritten
from modules.plugins.manager import ExtensionManager
from modules.plugins.pipeline import Pipeline
from modules.protocol.commands import Generate
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build, describe
from modules.runtime.loaded_model import LoadedModel
from modules.runtime.model_state import ModelState


class GenerationHooks:
    """The hooks of one generated text. Every method that runs hooks raises MessageFailed.

    `state`: as the hooks left it so far; `problems`: sentences about values that hooks set and that cannot be used;
    `top_logprobs`: as in Generate.logprobs.
    """

    def __init__(self, manager: ExtensionManager, params: SamplingParams, is_chat: bool) -> None:
        manager.retry_setup()
        self._manager = manager
        self.pipeline = Pipeline(manager)
        self.problems: list[str] = []
        self.state: Mapping[str, object] = {}
        self.top_logprobs = -1
        self._params, self._is_chat = params, is_chat

    @property
    def params(self) -> SamplingParams:
        """Return the sampling parameters of the state. For a value that cannot be used, return the user's."""
        changed: dict[str, Any] = {}
        for entry in describe(SamplingParams):
            value = self.state.get(entry.name, getattr(self._params, entry.name))
            if value != getattr(self._params, entry.name):
                try:
                    changed[entry.name] = getattr(build(SamplingParams, {entry.name: value}), entry.name)
                except PaddockError as error:
                    self.problems.append(f"An extension set a value that cannot be used. {error.message}")
        return replace(self._params, **changed) if changed else self._params

    @property
    def wants_prompt(self) -> bool:
        """True if a running extension has a hook that gets the text of the prompt."""
        return self.pipeline.has("custom_tokenized_length", "custom_generate_reply")

    def generate(
        self, model: LoadedModel, prompt: str, question: str, params: SamplingParams, chat: Generate | None = None
    ) -> Generation:
        """Return the Generation of the reply: the model's or an extension's, rewritten on its way by `stream_modifier`.

        `chat`: what the model answers in place of `prompt`, which is then for hooks alone.
        """

        def count(text: str) -> int:
            try:
                return len(model.tokenize(text))
            except PaddockError:
                return 0

        # The worker gets changes of settings and shared values by an extension's own code before the reply.
        self._manager.worker.refresh()
        found = self.pipeline.reply(prompt, question, self.state, list(params.stop), self._is_chat)
        if found:
            source = answer(self.pipeline, *found, prompt, params, count)
        elif chat is not None:
            source = model.generate_chat(replace(chat, params=params, logprobs=self.top_logprobs))
        else:
            source = model.generate(prompt, params, top_logprobs=self.top_logprobs)
        members = self.pipeline.stream_modifiers()
        return rewritten(self.pipeline, source, members, self.state) if members else source

    def final_text(self, text: str) -> str:
        """Return the text to show for the whole reply."""
        return self.pipeline.text("output_modifier", text, self.state, self._is_chat)

    @property
    def notes(self) -> list[str]:
        """Return sentences about what failed so far, and about values that cannot be used."""
        return list(dict.fromkeys([*self.pipeline.notes, *self.problems]))


class TurnHooks(GenerationHooks):
    """The hooks of one turn of a chat.

    `path`: the messages before the turn; `own`: messages of the turn that exist already, which are the question that
    is answered again, and the reply that it had or that is continued.
    """

    def __init__(
        self,
        manager: ExtensionManager,
        chat_id: str,
        path: Sequence[Message],
        params: SamplingParams,
        options: ChatOptions,
        preamble: Preamble,
        model: ModelState,
        own: Sequence[Message] = (),
    ) -> None:
        super().__init__(manager, params, is_chat=True)
        self._options, self._preamble = options, preamble
        self._known = len(path)
        self._earlier = list(path)
        # The turn's own pair after the hooks, if they changed the history.
        self._row: tuple[str, str] | None = None
        history = history_pairs([*path, *own])
        fresh = self.pipeline.history(copy.deepcopy(history)) if self.pipeline.has("history_modifier") else history
        count = len(history["internal"]) - len(history_pairs(path)["internal"])
        own_count = count if fresh == history else self._take_history(fresh, history, count)
        # The history before this turn, for hooks that make the prompt.
        self.history = {
            key: list(rows)[: len(rows) - own_count] for key, rows in fresh.items() if isinstance(rows, list)
        }
        state = hook_state(chat_id, fresh, params, options, preamble, model)
        self._template = str(state[TEMPLATE_KEYS[0]])
        self.state = self.pipeline.state(state)

    def _take_history(self, fresh: Mapping[str, object], history: Mapping[str, object], count: int) -> int:
        """Take the history `fresh` that the hooks made of `history`, whose last `count` pairs are the turn's own.

        Return how many of its last pairs are the turn's own: 0 if a hook dropped them.
        """
        rows, before = internal_pairs(fresh), internal_pairs(history)
        own = rows[len(rows) - count :] if 0 < count <= len(rows) else []
        if own and before[-count][0]:
            older = [row[0] for row in before[:-count]]
            dropped = len(rows) < len(before) and own[0][0] != before[-count][0] and own[0][0] in older
            own = [] if dropped or not own[0][0] else own
        self._row = own[0] if own else None
        self._earlier = keep_files(messages_from_pairs(rows[: len(rows) - len(own)]), self._earlier)
        return len(own)

    def user_message(self, text: str) -> tuple[str, dict[str, object]]:
        """Return (the text to show for the message that was typed, its meta)."""
        visible, inner = self.pipeline.modify_message(text, self.state)
        return visible, {} if visible == inner else {"internal": inner}

    def path(self, path: Sequence[Message]) -> list[Message]:
        """Return the messages for the prompt: those before the turn after the history hooks, and the turn's own."""
        return [*self._earlier, *(self._changed(message) for message in path[self._known :])]

    def _changed(self, message: Message) -> Message:
        text = (self._row or ("", ""))[message.role == "assistant"]
        return replace(message, meta={**message.meta, "internal": text}) if text else message

    def prompt(self, question: str, path: Sequence[Message], is_continue: bool) -> str | None:
        """Return the prompt that an extension makes, or None. The state may change in both cases."""
        history = history_pairs(self.path(path)) if is_continue else self.history
        return self.pipeline.prompt(question, self.state, history, is_continue)

    @property
    def preamble(self) -> Preamble:
        """Return what comes before the first message, from the present state."""
        return preamble_from_state(self.state, self._preamble)

    @property
    def options(self) -> ChatOptions:
        """Return the options for the prompt, from the present state."""
        name1, name2 = state_text(self.state, "name1"), state_text(self.state, "name2")
        options = self._options
        template = self._changed_template() or options.template
        return replace(options, template=template, name1=name1 or options.name1, name2=name2 or options.name2)

    def _changed_template(self) -> str:
        """Return a chat template that hooks set instead of the model's, or ""."""
        templates = (state_text(self.state, name) for name in TEMPLATE_KEYS)
        return next((text for text in templates if self._template and text not in ("", self._template)), "")

    def meta(self) -> dict[str, Any]:
        """Return the part of the reply's meta about extensions, so far."""
        meta: dict[str, object] = {}
        if self.pipeline.receipt.changes:
            meta["receipt"] = self.pipeline.receipt.to_json()
        if notes := self.notes:
            meta["notes"] = notes
        return meta


class TextHooks(GenerationHooks):
    """The hooks of a text that the model continues outside of chats: the notebook's, or an API client's.

    `prompt`: the text after the hooks.
    """

    def __init__(
        self, manager: ExtensionManager, text: str, params: SamplingParams, options: ChatOptions, model: ModelState
    ) -> None:
        super().__init__(manager, params, is_chat=False)
        preamble = Preamble(own=options.system)
        self.state = self.pipeline.state(hook_state("", history_pairs([]), params, options, preamble, model))
        self.prompt = self.pipeline.text("input_modifier", text, self.state, is_chat=False)
