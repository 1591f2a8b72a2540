"""A tokenizer with the methods of Transformers' tokenizers, built on two functions."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any


class TextTokenizer:
    """Has the methods of a Transformers tokenizer for text and ids. Subclasses implement `ids_of` and `text_of`."""

    def ids_of(self, text: str, special: bool) -> list[int]:
        """Return token ids. `special`: parse names of special tokens, and add BOS if the model uses it."""
        raise NotImplementedError

    def text_of(self, ids: list[int]) -> str:
        """Return the text of token ids."""
        raise NotImplementedError

    @property
    def bos_token(self) -> str:
        """The text of the BOS token, or ""."""
        raise NotImplementedError

    @property
    def eos_token(self) -> str:
        """The text of the EOS token, or ""."""
        raise NotImplementedError

    def encode(
        self,
        text: object,
        add_special_tokens: bool = True,
        return_tensors: str = "",
        add_bos_token: bool = True,
        **rest: object,
    ) -> Any:
        """Return token ids as a list; with `return_tensors`, as an array [1, tokens] ("pt": a torch tensor, if torch is
        installed)."""
        ids = self.ids_of(str(text), add_special_tokens and add_bos_token)
        if not return_tensors:
            return ids
        if return_tensors == "pt":
            return importlib.import_module("torch").tensor([ids])
        return importlib.import_module("numpy").array([ids], dtype="int64")

    def decode(self, token_ids: object, skip_special_tokens: bool = True, **rest: object) -> str:
        """Return the text of one or several token ids, of any shape."""
        return self.text_of(flat(token_ids))

    def batch_decode(self, sequences: Iterable[object], **rest: object) -> list[str]:
        """Return the text of each row."""
        return [self.decode(row) for row in sequences]

    def tokenize(self, text: str, **rest: object) -> list[str]:
        """Return the texts of the tokens of `text`."""
        return [self.text_of([token]) for token in self.ids_of(text, False)]

    def convert_ids_to_tokens(self, ids: object, **rest: object) -> object:
        """Return the text of a token id, or a list for several ids. Spaces are spaces, not the marks of
        vocabularies."""
        found = [self.text_of([token]) for token in flat(ids)]
        return found if hasattr(ids, "__len__") else found[0]

    def convert_tokens_to_ids(self, tokens: Any) -> Any:
        """Return the id of a token's text, or a list for several texts. None: the text is not a single token."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        return self._id(tokens)

    def __call__(self, text: str, return_tensors: str = "", **rest: Any) -> dict[str, Any]:
        """Return {"input_ids", "attention_mask"}."""
        ids = self.encode(text, return_tensors=return_tensors, **rest)
        return {"input_ids": ids, "attention_mask": [1] * len(ids) if isinstance(ids, list) else ids * 0 + 1}

    def __bool__(self) -> bool:
        return True

    @property
    def pad_token(self) -> str:
        """The last token's text."""
        return self.eos_token

    @property
    def bos_token_id(self) -> int | None:
        """The id of the BOS token, or None if the model has none."""
        return self._id(self.bos_token)

    @property
    def eos_token_id(self) -> int | None:
        """The id of the EOS token, or None if the model has none."""
        return self._id(self.eos_token)

    @property
    def pad_token_id(self) -> int | None:
        """The id of the EOS token, which is used for padding."""
        return self.eos_token_id

    def _id(self, text: str) -> int | None:
        """Return the id of the token with this text, which may be a special token."""
        if not text:
            return None
        # Ignore a BOS token that was added.
        ids = self.ids_of(text, True)
        same = [token for token in ids if self.text_of([token]) == text]
        return same[-1] if same else (ids[-1] if len(ids) in (1, 2) else None)


def flat(ids: Any) -> list[int]:
    """Return token ids of any shape as a list: from an int, lists, an array or a tensor."""
    ids = ids.tolist() if hasattr(ids, "tolist") else ids
    if not isinstance(ids, Iterable):
        return [int(ids)]
    return [token for part in ids for token in flat(part)]
