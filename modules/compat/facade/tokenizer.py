"""shared.tokenizer: the loaded model's tokenizer, through the worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modules.compat.facade.base import Impossible
from modules.plugins.request_model import hook_model
from modules.worker.text_tokenizer import TextTokenizer

if TYPE_CHECKING:
    from modules.app import App


class Tokenizer(TextTokenizer):
    """Looks like a tokenizer of Transformers as far as text and ids go. Raises PaddockError once the model is gone.

    `info`: the model whose tokenizer this is.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.info = hook_model(app).state.info
        self._template = self.info.template if self.info else ""

    @property
    def chat_template(self) -> str | None:
        """The model's chat template, or None. Setting it affects `apply_chat_template`, but not
        Paddock's own prompts."""
        return self._template or None

    @chat_template.setter
    def chat_template(self, template: str | None) -> None:
        self._template = template or ""

    def apply_chat_template(
        self,
        conversation: list[dict[str, object]],
        tools: object = None,
        documents: object = None,
        chat_template: str | None = None,
        add_generation_prompt: bool = False,
        continue_final_message: bool = False,
        tokenize: bool = True,
        return_tensors: str = "",
        return_dict: bool = False,
        **variables: object,
    ) -> object:
        """Return a chat, [{"role", "content"}, …], as the model's prompt: a text, or its tokens as from `encode`; with
        `return_dict` as a call of the tokenizer does. Rendered as Paddock's own prompts are: in ChatML without a
        template. Raises PromptError."""
        template = chat_template or self._template
        more = {"tools": tools, "documents": documents, "add_generation_prompt": add_generation_prompt, **variables}
        found = hook_model(self._app).chat_prompt(list(conversation), template, continue_final_message, more)
        if not tokenize:
            return found.prompt
        return (self if return_dict else self.encode)(found.prompt, return_tensors=return_tensors)

    def ids_of(self, text: str, special: bool) -> list[int]:
        """The value from the worker."""
        return list(hook_model(self._app).tokenize(text, special))

    def text_of(self, ids: list[int]) -> str:
        """The value from the worker."""
        return str(hook_model(self._app).detokenize(ids))

    @property
    def bos_token(self) -> str:
        """The text of the first token, or ""."""
        return str(hook_model(self._app).loaded().bos)

    @property
    def eos_token(self) -> str:
        """The text of the last token, or ""."""
        return str(hook_model(self._app).loaded().eos)

    @property
    def vocab_size(self) -> int:
        """The vocabulary size from the model's files; 0 if unknown."""
        return self._app.library.facts(hook_model(self._app).state.model).vocabulary

    @property
    def name_or_path(self) -> str:
        """The path of the model."""
        return self._app.library.facts(hook_model(self._app).state.model).path

    def __len__(self) -> int:
        return self.vocab_size

    save_pretrained = Impossible("shared.tokenizer.save_pretrained", "the tokenizer lives in the worker's process")
