"""The tokenizer of a model folder, for engines that work with token ids: prompts, streams, templates, end tokens."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

from modules.protocol.sampling import SamplingParams
from modules.worker.end_of_turn import end_of_turn_token
from modules.worker.hf.detokenizer import TokenDecoder
from modules.worker.hf.model_files import chat_template, load_tokenizer, read_json
from modules.worker.hf.special_tokens import end_tokens
from modules.worker.reply_text import ReplyText
from modules.worker.stop_strings import StopFilter
from modules.worker.template_process import TemplateProcess
from modules.worker.truncation import fit_prompt


@dataclass(frozen=True)
class TokenizedPrompt:
    """A prompt's tokens, and how many of the oldest were left out."""

    tokens: list[int]
    cut: int


class FolderTokenizer:
    """The tokenizer of the folder at `path`. Raises ModelError if there is none. `ends`: tokens that end a reply;
    `templates` renders the folder's chat template, which may contain one."""

    def __init__(self, path: Path, templates: TemplateProcess | None = None) -> None:
        self.tokenizer = load_tokenizer(path)
        self.template, self.template_source = chat_template(path, self.tokenizer)
        self.text = TokenDecoder(self.tokenizer, self.template)
        self._prefix = self.text.prefix()
        configs = [SimpleNamespace(**_config(path / name)) for name in ("generation_config.json", "config.json")]
        model = SimpleNamespace(generation_config=configs[0], config=configs[1])
        end = end_of_turn_token(templates, self.template, self.bos, self.eos, self.text.names)
        self.ends = end_tokens(model, self.tokenizer, self.template, end)

    @property
    def bos(self) -> str:
        """Name of the token that begins a text."""
        return str(self.tokenizer.bos_token or "")

    @property
    def eos(self) -> str:
        """Name of the token that ends a text."""
        return str(self.tokenizer.eos_token or "")

    def tokenize(self, text: str, special: bool) -> list[int]:
        """Return the token ids of `text`. `special`: as of a prompt: parse names of special tokens, and add BOS if the
        model uses it."""
        tokens = self.text.encode(text, special)
        return [*self._prefix, *tokens] if special and not self._prefix_length(tokens) else tokens

    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of these tokens."""
        return self.text.decode(tokens, skip_special=False)

    def prompt(self, text: str, params: SamplingParams, context: int) -> TokenizedPrompt:
        """Return the tokens of a prompt, fitted to the context. Raises PromptError."""
        tokens = self.tokenize(text, True) if params.add_bos_token else self.text.encode(text, True)
        tokens = tokens or self._prefix or [*self.ends, 0][:1]
        kept, cut = fit_prompt(tokens, context, params.max_new_tokens, params.truncate, self._prefix_length(tokens))
        return TokenizedPrompt(kept, cut)

    def reply(self, params: SamplingParams, prompt: list[int]) -> ReplyText:
        """Return the converter of the tokens of a reply to `prompt` into pieces of text."""
        at_start = len(prompt) == self._prefix_length(prompt)
        return ReplyText(StopFilter(params.stop), self.text.stream(params.skip_special_tokens, at_start))

    def _prefix_length(self, tokens: list[int]) -> int:
        length = len(self._prefix)
        return length if length and tokens[:length] == self._prefix else 0


def _config(path: Path) -> dict[str, object]:
    return {key: value for key, value in read_json(path).items() if key.isidentifier()} if path.is_file() else {}
