"""Examples as token ids with labels: what is learned, and what is only read (label -100)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from modules.families.training_data import Example
from modules.protocol.errors import ModelError

IGNORED = -100
Row = dict[str, list[int]]


class ExampleTokenizer:
    """Turns examples into rows of `input_ids` and `labels`, of at most `cutoff` tokens each.

    `tokenize`: text of a prompt to token ids, as the engine does it. `render`: messages, and whether the reply is to
    follow, to the text of the chat template. `end`: token that ends a reply."""

    def __init__(
        self,
        tokenize: Callable[[str], list[int]],
        render: Callable[[Sequence[dict[str, str]], bool], str],
        end: int,
        cutoff: int,
        replies_only: bool,
    ) -> None:
        self._tokenize = tokenize
        self._render = render
        self._end = end
        self._cutoff = cutoff
        self._replies_only = replies_only

    def rows(self, example: Example) -> list[Row]:
        """Return the rows of an example: one of a chat, several of a long text. A row with nothing to learn is left
        out."""
        if example.text:
            return self._text_rows(example.text)
        row = self._chat_row(list(example.messages))
        return [row] if any(label != IGNORED for label in row["labels"]) else []

    def _text_rows(self, text: str) -> list[Row]:
        tokens = [*self._tokenize(text), self._end]
        pieces = [tokens[start : start + self._cutoff] for start in range(0, len(tokens), self._cutoff)]
        return [{"input_ids": piece, "labels": list(piece)} for piece in pieces if len(piece) > 1]

    def _chat_row(self, messages: list[dict[str, str]]) -> Row:
        """Return the whole chat, in which every reply is learned up to the token that ends it.

        Each reply's tokens are what follows the prompt's own tokens, so that training sees what generating will."""
        tokens: list[int] = []
        learned: list[bool] = []
        for place, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt = self._tokenize(self._render(messages[:place], True))
            whole = self._tokenize(self._render(messages[: place + 1], False))
            if whole[: len(prompt)] != prompt:
                text = self._render(messages[: place + 1], False)
                opening = self._render(messages[:place], True)
                if not text.startswith(opening):
                    raise ModelError(
                        "The chat template writes a reply in another way than it asks for one, so replies cannot be "
                        "told from questions. Set Replies only to off, or train on raw text."
                    )
                whole = [*prompt, *self._tokenize(text[len(opening) :])]
            # What was read before, the new question included, then the reply up to its end.
            common = min(len(tokens), len(prompt))
            learned = [*learned[:common], *[not self._replies_only] * (len(prompt) - common)]
            stop = self._reply_end(whole, len(prompt))
            learned += [True] * (stop - len(prompt)) + [not self._replies_only] * (len(whole) - stop)
            tokens = whole
        labels = [token if learn else IGNORED for token, learn in zip(tokens, learned, strict=True)]
        return {"input_ids": tokens[: self._cutoff], "labels": labels[: self._cutoff]}

    def _reply_end(self, tokens: list[int], start: int) -> int:
        """Return where the reply that begins at `start` ends, its end token included."""
        try:
            return tokens.index(self._end, start) + 1
        except ValueError:
            return len(tokens)


def pad_rows(rows: Sequence[Row], padding: int) -> dict[str, Any]:
    """Return tensors of one batch, padded on the right: `input_ids`, `attention_mask`, `labels`."""
    import torch

    longest = max(len(row["input_ids"]) for row in rows)

    def filled(key: str, value: int) -> Any:
        return torch.tensor([row[key] + [value] * (longest - len(row[key])) for row in rows])

    mask = [[1] * len(row["input_ids"]) + [0] * (longest - len(row["input_ids"])) for row in rows]
    return {
        "input_ids": filled("input_ids", padding),
        "attention_mask": torch.tensor(mask),
        "labels": filled("labels", IGNORED),
    }
