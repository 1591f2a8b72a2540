"""How one model writes chats: its tokenizer and chat template, used as the engine uses them for prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modules.families.turn_order import RenderedTurns, render_turns
from modules.protocol.events import ChatPromptResult
from modules.worker.chat_template import CHATML
from modules.worker.hf.folder_tokenizer import FolderTokenizer
from modules.worker.template_process import TemplateProcess


class ChatFormat:
    """The tokenizer of a model's folder with its chat template, or with ChatML where it has none.

    `ends`: tokens that end a reply. `end`: the one that ends a text; None if the model has no such token.
    """

    def __init__(self, tokenizer: FolderTokenizer, templates: TemplateProcess) -> None:
        self._tokenizer = tokenizer
        self._templates = templates
        self.ends = frozenset(tokenizer.ends)
        eos = tokenizer.tokenizer.eos_token_id
        self.end: int | None = eos if isinstance(eos, int) else next(iter(tokenizer.ends), None)
        padding = tokenizer.tokenizer.pad_token_id
        self.padding: int = padding if isinstance(padding, int) else self.end or 0

    def prompt_tokens(self, text: str) -> list[int]:
        """Return the token ids of a prompt, with BOS in front if the model wants it."""
        return self._tokenizer.tokenize(text, True)

    def text_tokens(self, text: str) -> list[int]:
        """Return the token ids of text that follows other text."""
        return self._tokenizer.text.encode(text, True)

    def text(self, tokens: list[int]) -> str:
        """Return the text of a reply, without special tokens."""
        return self._tokenizer.text.decode(tokens, skip_special=True)

    def render(self, messages: Sequence[Mapping[str, object]], opened: bool) -> str:
        """Return the chat as text. `opened`: it ends where the next reply begins. Raises PromptError."""
        return self._templates.render(
            self._tokenizer.template or CHATML,
            list(messages),
            continue_last=False,
            bos=self._tokenizer.bos,
            eos=self._tokenizer.eos,
            variables={"add_generation_prompt": opened},
        )

    def ordered(self, messages: Sequence[Mapping[str, object]]) -> RenderedTurns:
        """Return the messages as turns that the template accepts, as for a prompt. Raises PromptError."""
        return render_turns(lambda turns: ChatPromptResult(self.render(turns, False), 0, ""), messages)
