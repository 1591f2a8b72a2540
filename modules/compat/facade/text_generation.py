"""modules.text_generation: generates text with the loaded model, and converts tokens."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any

import numpy as np

from modules.compat.facade.base import FacadeModule
from modules.compat.facade.state import State, params_of, texts_of
from modules.plugins.request_model import hook_model
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams


class TextGeneration(FacadeModule):
    """Generators yield the reply so far, repeatedly. Arrays of tokens have the shape [1, tokens]."""

    def generate_reply(
        self,
        question: str,
        state: State,
        stopping_strings: object = None,
        is_chat: bool = False,
        escape_html: bool = False,
        for_ui: bool = False,
    ) -> Iterator[str]:
        """Yield the reply to a prompt. Outside of a chat (`is_chat`) the hooks of extensions run here."""
        apply: Any = self._facade.module("modules.extensions").apply_extensions
        original = question
        if not is_chat:
            state = apply("state", state)
            question = apply("input", question, state)
        shared: Any = self._facade.module("modules.shared")
        shared.stop_everything = False
        stops = [*texts_of(stopping_strings), *texts_of(state.get("custom_stopping_strings"))]
        reply = ""
        generate = apply("custom_generate_reply") or self.generate_reply_HF
        for reply in generate(question, original, state, stops, is_chat):
            reply = html.escape(reply) if escape_html else reply
            if state.get("stream", True):
                yield reply
            if shared.stop_everything:
                break
        yield reply if is_chat else apply("output", reply, state)

    def generate_reply_HF(self, question: str, original_question: str, *rest: Any, **named: Any) -> Iterator[str]:
        """Yield the model's reply, with any loader. Older scripts pass the seed before the state."""
        given = list(rest[1:] if rest and isinstance(rest[0], int) else rest)
        state: State = given.pop(0) if given else named["state"]
        stops = given.pop(0) if given else named.get("stopping_strings")
        yield from self._follow(question, params_of(state, stops))

    generate_reply_custom = generate_reply_HF
    generate_reply_flexgen = generate_reply_HF

    def generate_reply_wrapper(
        self, question: str, state: State, stopping_strings: object = None
    ) -> Iterator[tuple[str, str]]:
        """Yield (the prompt with the reply so far, the same as HTML)."""
        for reply in self.generate_reply(question, state, stopping_strings, is_chat=False):
            yield self.formatted_outputs(question + reply, "")

    def formatted_outputs(self, reply: str, model_name: str) -> tuple[str, str]:
        """Return (the text, the text as HTML)."""
        page: Any = self._facade.module("modules.html_generator")
        return reply, page.generate_basic_html(reply)

    def encode(
        self, prompt: Any, add_special_tokens: bool = True, add_bos_token: bool = True, truncation_length: Any = None
    ) -> Any:
        """Return token ids as an array [1, tokens]. Raises PaddockError if no model is loaded."""
        tokens = hook_model(self._app).tokenize(str(prompt), add_special_tokens and add_bos_token)
        ids = np.array(tokens, dtype=np.int64).reshape(1, len(tokens))
        return ids[:, -truncation_length:] if truncation_length else ids

    def decode(self, output_ids: Any, skip_special_tokens: bool = True) -> str:
        """Return the text of token ids, in an array of any shape."""
        return str(hook_model(self._app).detokenize([int(token) for token in np.ravel(output_ids)]))

    def get_encoded_length(self, prompt: str) -> int:
        """Return the number of tokens in a prompt, counted by an extension if one does."""
        length = self._facade.module("modules.extensions").apply_extensions("tokenized_length", prompt)
        return self.encode(prompt).shape[1] if length is None else int(length)

    def get_token_ids(self, prompt: str) -> str:
        """Return a line for each token: its id and its text."""
        tokens = self.encode(prompt)[0]
        return "".join(f"{int(token):<5}  -  {self.decode([token])!r}\n" for token in tokens)

    def get_max_prompt_length(self, state: State) -> int:
        """Return the number of tokens that a prompt may have beside the maximum reply length."""
        return int(state["truncation_length"]) - int(state["max_new_tokens"])

    def stop_everything_event(self) -> None:
        """Stop all generations."""
        shared: Any = self._facade.module("modules.shared")
        shared.stop_everything = True

    def _follow(self, prompt: str, params: SamplingParams) -> Iterator[str]:
        shared: Any = self._facade.module("modules.shared")
        try:
            generation = hook_model(self._app).generate(prompt, params)
        except PaddockError as error:
            # text-generation-webui returns nothing here. The sentence is in the log.
            shared.logger.error(error.message)
            yield ""
            return
        text = ""
        with shared.stopping(generation.cancel):
            try:
                for piece in generation.follow():
                    text += piece
                    yield text
            finally:
                if not generation.done:
                    generation.cancel()
        if generation.error is not None:
            raise generation.error
