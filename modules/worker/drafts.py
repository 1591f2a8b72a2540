"""Speculative decoding: guess tokens, and read them together with the one that was chosen.

The samplers choose every token from the model's own logits, so a text is the same as without drafts, but for rounding:
a model that reads several tokens at once adds in another order.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from modules.families.drafts import DraftSettings

# Tokens that must stand in the text before, in the same order, for what followed them to be a guess.
_MATCH = 3
# The first guess after a wrong one, and the longest.
_FIRST, _LONGEST = 4, 32
# After so many wrong guesses in a row, none is made for a while: first for so many tokens, then for longer.
_WRONG, _PAUSE, _LONGEST_PAUSE = 2, 16, 256
# A draft model writes at most so much ahead, and ends where it is less sure than this.
_MODEL_LONGEST, _LEAST_SURE = 8, 0.4


class Drafter(Protocol):
    """Guesses the tokens that follow."""

    def propose(self, most: int) -> list[int]:
        """Return up to `most` tokens that may follow the text, or none."""

    def learn(self, token: int) -> None:
        """Add a token that was chosen to the text."""

    def judge(self, drafted: int, accepted: int) -> None:
        """Note how many tokens of the last guess were right."""


class NgramDrafter:
    """Guesses that a text continues as it did after the last occurrence of its last tokens."""

    def __init__(self, tokens: Sequence[int], longest: int = 0) -> None:
        """`longest`: the most tokens of a guess; 0 is automatic."""
        self._tokens: list[int] = []
        # The last place after each sequence of tokens, but for the end of the text, whose guess is not there yet.
        self._after: dict[tuple[int, ...], int] = {}
        self._longest = longest or _LONGEST
        self._length = min(_FIRST, self._longest)
        self._wrong, self._pause, self._next_pause = 0, 0, _PAUSE
        for token in tokens:
            self.learn(token)

    def learn(self, token: int) -> None:
        if len(self._tokens) >= _MATCH:
            self._after[tuple(self._tokens[-_MATCH:])] = len(self._tokens)
        self._tokens.append(token)
        self._pause = max(0, self._pause - 1)

    def propose(self, most: int) -> list[int]:
        if self._pause:
            return []
        at, text = self._after.get(tuple(self._tokens[-_MATCH:])), self._tokens
        guess: list[int] = []
        if at is None:
            return guess
        for place in range(at, at + min(most, self._length)):
            # Text that repeats itself at once continues with what was just guessed.
            guess.append(text[place] if place < len(text) else guess[place - len(text)])
        return guess

    def judge(self, drafted: int, accepted: int) -> None:
        if accepted == drafted:
            self._length = min(2 * self._length, self._longest)
        else:
            self._length = min(max(_FIRST, accepted), self._longest)
        if accepted:
            self._wrong, self._next_pause = 0, _PAUSE
            return
        self._wrong += 1
        if self._wrong >= _WRONG:
            self._wrong, self._pause = 0, self._next_pause
            self._next_pause = min(2 * self._next_pause, _LONGEST_PAUSE)


class DraftModel(Protocol):
    """A smaller model with the same tokens, whose cache is kept between replies."""

    def keep(self, tokens: list[int]) -> int:
        """Crop the cache to the prefix that it shares with `tokens`, without the last of them. Return its length."""

    def drop(self, count: int) -> bool:
        """Remove the last `count` tokens from the cache. Return False if it cannot."""

    def read(self, tokens: list[int]) -> tuple[int, float]:
        """Read tokens after those in the cache. Return the likeliest next token and its probability."""


class ModelDrafter:
    """Guesses what a smaller model finds likeliest."""

    def __init__(self, model: DraftModel, tokens: Sequence[int], longest: int = 0) -> None:
        """`longest`: as for NgramDrafter."""
        self._model, self._tokens = model, list(tokens)
        self._longest = longest or _MODEL_LONGEST
        # The model's cache has so many tokens of the text, and after them those of its last guess that it read.
        self._known, self._ahead = 0, list[int]()

    def learn(self, token: int) -> None:
        self._tokens.append(token)

    def propose(self, most: int) -> list[int]:
        most = min(most, self._longest)
        guess: list[int] = []
        if most > 0:
            token, sure = self._read_text()
            while sure >= _LEAST_SURE:
                guess.append(token)
                if len(guess) == most:
                    break
                token, sure = self._model.read([token])
                self._ahead.append(guess[-1])
        return guess

    def _read_text(self) -> tuple[int, float]:
        """Read what is new in the text, compared with the last guess alone, and at least its last token."""
        fresh = self._tokens[self._known :]
        right = min(len(os.path.commonprefix([fresh, self._ahead])), len(fresh) - 1)
        if self._known and self._model.drop(len(self._ahead) - right):
            self._known += right
        else:
            self._known = self._model.keep(self._tokens)
        answer = self._model.read(self._tokens[self._known :])
        self._known, self._ahead = len(self._tokens), []
        return answer

    def judge(self, drafted: int, accepted: int) -> None:
        """A draft model needs no correction: it ends where it is not sure."""


class FirstOf:
    """Asks one drafter after the other until one guesses."""

    def __init__(self, drafters: Sequence[Drafter]) -> None:
        self._drafters, self._last = drafters, drafters[0]

    def learn(self, token: int) -> None:
        for drafter in self._drafters:
            drafter.learn(token)

    def propose(self, most: int) -> list[int]:
        for drafter in self._drafters:
            if guess := drafter.propose(most):
                self._last = drafter
                return guess
        return []

    def judge(self, drafted: int, accepted: int) -> None:
        self._last.judge(drafted, accepted)


def start_drafter(settings: DraftSettings, prompt: Sequence[int], model: DraftModel | None) -> Drafter:
    """Return the drafter for the reply to a prompt, by the settings. `model`: the draft model, if there is one."""
    drafters: list[Drafter] = [NgramDrafter(prompt, settings.draft_tokens)] if settings.ngram_draft else []
    if model is not None:
        drafters.append(ModelDrafter(model, prompt, settings.draft_tokens))
    return drafters[0] if len(drafters) == 1 else FirstOf(drafters)


Row = TypeVar("Row", covariant=True)


class Rows(Protocol[Row]):
    """What a model says after each of the tokens that it read."""

    def __getitem__(self, at: int, /) -> Row: ...


class CheckingModel(Protocol[Row]):
    """The model that checks guesses, with its cache."""

    def read_rows(self, tokens: list[int]) -> Rows[Row]:
        """Read tokens after those in the cache."""

    def can_drop(self, count: int) -> bool:
        """Return True if `count` tokens that are read now can be removed again."""

    def drop(self, count: int) -> object:
        """Remove the last `count` tokens from the cache."""


class DraftedRows(Generic[Row]):
    """Returns the row (for example, the logits) after each chosen token, from readings of several tokens where the
    guesses were right.

    `drafted`, `accepted`: tokens guessed, and those of them that were chosen. `close` leaves only chosen tokens in the
    model's cache.
    """

    _rows: Rows[Row]

    def __init__(self, model: CheckingModel[Row], drafter: Drafter | None) -> None:
        self._model, self._drafter = model, drafter
        self._guess: list[int] = []
        self._at = 0
        self.drafted = self.accepted = 0

    def after(self, token: int, left: int) -> Row:
        """Return the row after `token`. `left`: how many tokens may follow it."""
        if self._drafter is None:
            return self._model.read_rows([token])[0]
        self._drafter.learn(token)
        if self._at < len(self._guess) and self._guess[self._at] == token:
            self._at += 1
            self.accepted += 1
            return self._rows[self._at]
        self.close()
        # The last token of a reply needs no row after it.
        guess = self._drafter.propose(left - 1) if left > 1 else []
        if not self._model.can_drop(len(guess) + 1):
            guess = []
        self._rows = self._model.read_rows([token, *guess])
        self._guess = guess
        self.drafted += len(guess)
        return self._rows[0]

    def close(self) -> None:
        """Remove wrong guesses from the cache, and let the drafter learn how many were right."""
        if self._guess and self._drafter is not None:
            self._drafter.judge(len(self._guess), self._at)
            self._model.drop(len(self._guess) - self._at)
        self._guess, self._at = [], 0
