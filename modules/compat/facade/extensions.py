"""modules.extensions: the hooks of all extensions that are on, including Paddock's own kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from modules.compat.facade.base import FacadeModule
from modules.compat.facade.state import State
from modules.plugins.pipeline import Pipeline


class Extensions(FacadeModule):
    """Hooks run in Paddock's order and within Paddock's time limits."""

    @property
    def available_extensions(self) -> list[str]:
        """Return the names of all extensions on disk."""
        return list(self._app.extensions.available())

    @property
    def state(self) -> dict[str, list[Any]]:
        """Return [is on, its position, its module] of the scripts that are on, by name."""
        return {name: [True, place, module] for place, (module, name) in enumerate(self.iterator())}

    def iterator(self) -> Iterator[tuple[ModuleType, str]]:
        """Return (module, name) of the scripts that are on, in their order."""
        for running in self._app.extensions.running.in_order():
            if isinstance(module := getattr(running.plugin, "module", None), ModuleType):
                yield module, running.name

    def apply_extensions(self, typ: str, *args: object, **kwargs: object) -> object:
        """Return the result of the hooks of a kind. Raises ValueError for an unknown kind."""
        pipeline = Pipeline(self._app.extensions)
        kinds: dict[str, Callable[..., Any]] = {
            "input": lambda text, state, is_chat=False: pipeline.text("input_modifier", text, state, is_chat),
            "output": lambda text, state, is_chat=False: pipeline.text("output_modifier", text, state, is_chat),
            "bot_prefix": lambda text, state: pipeline.text("bot_prefix_modifier", text, state),
            "chat_input": pipeline.chat_input,
            "state": pipeline.state,
            "history": pipeline.history,
            "custom_generate_chat_prompt": lambda text, state, _continue=False, history=None, **rest: pipeline.prompt(
                text, state, history or state["history"], _continue
            ),
            "custom_generate_reply": lambda: self._reply(pipeline),
            "tokenized_length": pipeline.length,
            # These run in the worker.
            "tokenizer": lambda state, prompt, input_ids, input_embeds: (prompt, input_ids, input_embeds),
            "logits_processor": lambda processors, input_ids: processors,
            "css": lambda: self._joined("custom_css"),
            "js": lambda: self._joined("custom_js"),
        }
        if typ not in kinds:
            raise ValueError(f"There is no kind of extension named {typ!r}. The kinds are: {', '.join(kinds)}.")
        return kinds[typ](*args, **kwargs)

    def _reply(self, pipeline: Pipeline) -> Callable[..., Iterator[str]] | None:
        """Return a function that answers instead of the model and yields the reply so far; None if there is none."""
        if not pipeline.has("custom_generate_reply"):
            return None

        def generate(
            question: str,
            original_question: str,
            state: State,
            stopping_strings: list[str] | None = None,
            is_chat: bool = False,
        ) -> Iterator[str]:
            found = pipeline.reply(question, original_question, state, stopping_strings or [])
            if found is None:
                text_generation = self._facade.module("modules.text_generation")
                yield from text_generation.generate_reply_HF(question, original_question, state, stopping_strings)
                return
            member, answer = found
            if isinstance(answer, str):
                yield answer
                return
            while (text := pipeline.next_text(member, answer)) is not None:
                yield text

        return generate

    def _joined(self, hook: str) -> str:
        found = (
            self._app.extensions.hooks.try_call(running, hook)[1] for running in self._app.extensions.running.in_order()
        )
        return "".join(text for text in found if isinstance(text, str))
