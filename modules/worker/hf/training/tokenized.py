"""Examples as token ids with labels: what is learned, and what is only read (label -100)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from modules.families.training_data import Example
from modules.families.turn_order import RenderedTurns
from modules.protocol.errors import PromptError

IGNORED = -100
Row = dict[str, list[int]]


class Format(Protocol):
    """What is needed of a model's tokenizer and chat template. `ChatFormat` describes the members."""

    @property
    def ends(self) -> Collection[int]: ...

    @property
    def end(self) -> int | None: ...

    def prompt_tokens(self, text: str) -> list[int]: ...

    def text_tokens(self, text: str) -> list[int]: ...

    def render(self, messages: Sequence[Mapping[str, object]], opened: bool) -> str: ...

    def ordered(self, messages: Sequence[Mapping[str, object]]) -> RenderedTurns: ...


class ExampleTokenizer:
    """Turns examples into rows of `input_ids` and `labels`, of at most `cutoff` tokens each.

    It counts the examples that lost their end to the cutoff (`shortened`) and those of which nothing is left to learn
    (`unused`), and collects why the chat template refused others (`refused`).
    """

    def __init__(self, format: Format, cutoff: int, replies_only: bool) -> None:
        self._format = format
        self._cutoff = cutoff
        self._replies_only = replies_only
        self.shortened = 0
        self.unused = 0
        self.refused: list[str] = []

    def rows(self, example: Example) -> list[Row]:
        """Return the rows of an example: usually one of a chat, several of a long text, none if nothing can be learned
        from it."""
        if example.text:
            return self._text_rows(example.text)
        try:
            rows = self._chat_rows(self._format.ordered(example.messages).turns)
        except PromptError as error:
            self.refused.append(error.message)
            return []
        self.shortened += any(len(row["input_ids"]) > self._cutoff for row in rows)
        cut = [{key: values[: self._cutoff] for key, values in row.items()} for row in rows]
        learned = [row for row in cut if any(label != IGNORED for label in row["labels"])]
        self.unused += not learned
        return learned

    def notes(self) -> list[str]:
        """Return sentences about the examples that were shortened or left out."""
        found = []
        if self.shortened:
            found.append(
                f"Examples longer than the cutoff of {self._cutoff} tokens, which lost their end: {self.shortened}."
            )
        if self.unused:
            found.append(f"Examples left out because the cutoff removed all of their replies: {self.unused}.")
        if self.refused:
            found.append(
                f"Examples left out because the chat template refused them: {len(self.refused)}. The first: "
                f"{self.refused[0]}"
            )
        return found

    def _text_rows(self, text: str) -> list[Row]:
        end = [] if self._format.end is None else [self._format.end]
        tokens = [*self._format.prompt_tokens(text), *end]
        pieces = [tokens[start : start + self._cutoff] for start in range(0, len(tokens), self._cutoff)]
        return [{"input_ids": piece, "labels": list(piece)} for piece in pieces if len(piece) > 1]

    def _chat_rows(self, messages: Sequence[Mapping[str, object]]) -> list[Row]:
        """Return the chat as one row, in which every reply is learned up to the token that ends it.

        A reply's tokens follow the tokens of its prompt, so training sees what generation will see. Some templates
        write an earlier reply differently in later prompts, for example without its reasoning. The reply after it then
        begins another row.
        """
        rows: list[Row] = []
        tokens: list[int] = []
        learned: list[bool] = []
        for place, message in enumerate(messages):
            if message["role"] != "assistant" or not place:
                continue
            prompt = self._format.prompt_tokens(self._format.render(messages[:place], True))
            whole = self._with_reply(prompt, messages[: place + 1])
            if prompt[: len(tokens)] != tokens:
                rows.append(_row(tokens, learned))
                learned = []
            learned += [not self._replies_only] * (len(prompt) - len(learned))
            learned += [True] * (len(whole) - len(prompt))
            tokens = whole
        return [*rows, _row(tokens, learned)]

    def _with_reply(self, prompt: list[int], messages: Sequence[Mapping[str, object]]) -> list[int]:
        """Return the prompt's tokens and those of the last message, up to the token that ends it."""
        text = self._format.render(messages, False)
        whole = self._format.prompt_tokens(text)
        if whole[: len(prompt)] != prompt:
            # Tokens that span the border, or a template that opens a reply in another way than it writes one.
            opening = self._format.render(messages[:-1], True)
            reply = text[len(opening) :] if text.startswith(opening) else str(messages[-1]["content"])
            whole = [*prompt, *self._format.text_tokens(reply)]
        for place in range(len(prompt), len(whole)):
            if whole[place] in self._format.ends:
                return whole[: place + 1]
        return whole if self._format.end is None else [*whole, self._format.end]


def _row(tokens: list[int], learned: list[bool]) -> Row:
    labels = [token if learn else IGNORED for token, learn in zip(tokens, learned, strict=True)]
    return {"input_ids": tokens, "labels": labels}


def pad_rows(rows: Sequence[Row], padding: int) -> dict[str, object]:
    """Return one batch padded on the right: tensors `input_ids`, `attention_mask` and `labels`, each [rows, tokens]."""
    import torch

    longest = max(len(row["input_ids"]) for row in rows)

    def filled(key: str, value: int) -> object:
        return torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in rows])

    mask = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
    return {
        "input_ids": filled("input_ids", padding),
        "attention_mask": torch.tensor(mask),
        "labels": filled("labels", IGNORED),
    }
