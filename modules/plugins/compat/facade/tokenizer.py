"""shared.tokenizer: the loaded model's tokenizer, over the worker."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from modules.plugins.compat.facade.base import Impossible

if TYPE_CHECKING:
    from modules.app import App


class Tokenizer:
    """Looks like a tokenizer of Transformers as far as text and ids go. Raises PaddockError once the model is gone.

    `info`: the model whose tokenizer this is.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.info = app.supervisor.state.info
        self._template = self.info.template if self.info else ""

    @property
    def chat_template(self) -> str | None:
        """The model's chat template, None where it has none. One that is set counts for `apply_chat_template`, not for
        Paddock's own prompts."""
        return self._template or None

    @chat_template.setter
    def chat_template(self, template: str | None) -> None:
        self._template = template or ""

    def apply_chat_template(
        self,
        conversation: list[dict[str, Any]],
        tools: Any = None,
        documents: Any = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = True,
        return_tensors: str = "",
        return_dict: bool = False,
        **variables: Any,
    ) -> Any:
        """A chat, [{"role", "content"}, …], as the model's prompt: a text, or its tokens as `encode` gives them; with
        `return_dict` as a call of the tokenizer does. Rendered as Paddock's own prompts are: in ChatML without a
        template. Raises PromptError."""
        template = chat_template or self._template
        more = {"tools": tools, "documents": documents, "add_generation_prompt": add_generation_prompt, **variables}
        found = self._app.supervisor.chat_prompt(list(conversation), template, continue_final_message, more)
        if not tokenize:
            return found.prompt
        return (self if return_dict else self.encode)(found.prompt, return_tensors=return_tensors)

    def encode(
        self,
        text: Any,
        add_special_tokens: bool = True,
        return_tensors: str = "",
        add_bos_token: bool = True,
        **rest: Any,
    ) -> Any:
        """Token ids as a list; with `return_tensors` as an array [1, tokens] ("pt": a torch tensor, where the script
        brought torch along)."""
        ids = self._app.supervisor.tokenize(str(text), add_special_tokens and add_bos_token)
        if not return_tensors:
            return ids
        array = np.array([ids], dtype=np.int64)
        if return_tensors == "pt":
            import torch

            return torch.from_numpy(array)
        return array

    def decode(self, token_ids: Any, skip_special_tokens: bool = True, **rest: Any) -> str:
        """The text of one token id or of several, of any shape."""
        return self._app.supervisor.detokenize([int(token) for token in np.ravel(token_ids)])

    def batch_decode(self, sequences: Iterable[Any], **rest: Any) -> list[str]:
        """The text of each row."""
        return [self.decode(row) for row in sequences]

    def tokenize(self, text: str, **rest: Any) -> list[str]:
        """The texts of a text's tokens."""
        return [self.decode(token) for token in self._app.supervisor.tokenize(text)]

    def convert_ids_to_tokens(self, ids: Any, **rest: Any) -> Any:
        """The text of a token id, or the list of them: as text, without the marks that vocabularies use for spaces."""
        if isinstance(ids, (int, np.integer)):
            return self.decode(ids)
        return [self.decode(token) for token in np.ravel(ids)]

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """The id of a token's text, or the list of them; None for what is no single token."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        return self._id(tokens)

    def __call__(self, text: str, return_tensors: str = "", **rest: Any) -> dict[str, Any]:
        """{"input_ids", "attention_mask"}."""
        ids = self.encode(text, return_tensors=return_tensors, **rest)
        return {"input_ids": ids, "attention_mask": [1] * len(ids) if isinstance(ids, list) else ids * 0 + 1}

    @property
    def bos_token(self) -> str:
        """The text of the first token, "" where the model has none."""
        return self._app.supervisor.loaded().bos

    @property
    def eos_token(self) -> str:
        """The text of the last token, "" where the model has none."""
        return self._app.supervisor.loaded().eos

    pad_token = eos_token

    @property
    def bos_token_id(self) -> int | None:
        """The first token, None where the model has none."""
        return self._id(self.bos_token)

    @property
    def eos_token_id(self) -> int | None:
        """The last token, None where the model has none."""
        return self._id(self.eos_token)

    pad_token_id = eos_token_id

    @property
    def vocab_size(self) -> int:
        """How many tokens the model's files name; 0 where they do not say."""
        return self._app.library.facts(self._app.supervisor.state.model).vocabulary

    @property
    def name_or_path(self) -> str:
        """Where the model lies."""
        return self._app.library.facts(self._app.supervisor.state.model).path

    def __len__(self) -> int:
        return self.vocab_size

    def __bool__(self) -> bool:
        return True

    save_pretrained = Impossible("shared.tokenizer.save_pretrained", "the tokenizer lives in the worker's process")

    def _id(self, text: str) -> int | None:
        """The id of the one token that `text` names, special tokens included."""
        if not text:
            return None
        # BOS, which the worker may put first, is not meant unless it is asked for.
        ids = self._app.supervisor.tokenize(text, True)
        same = [token for token in ids if self._app.supervisor.detokenize([token]) == text]
        return same[-1] if same else (ids[-1] if len(ids) in (1, 2) else None)
