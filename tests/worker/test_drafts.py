"""Guesses come from the text or from a smaller model, and cost no more than what is new in the text."""

from __future__ import annotations

import pytest

from modules.worker.drafts import DraftedRows, FirstOf, ModelDrafter, NgramDrafter

# Of the made model: after a token comes the next number; after one beyond the limit it is not sure.
LIMIT = 1000


class Counting:
    """A draft model that expects 1, 2, 3 … `log`: what was asked of it."""

    def __init__(self, drops: bool = True) -> None:
        self.cached: list[int] = []
        self.log: list[tuple[str, int]] = []
        self._drops = drops

    def keep(self, tokens: list[int]) -> int:
        self.log.append(("keep", len(tokens)))
        common = 0
        while common < min(len(self.cached), len(tokens) - 1) and self.cached[common] == tokens[common]:
            common += 1
        del self.cached[common:]
        return common

    def drop(self, count: int) -> bool:
        if self._drops:
            del self.cached[len(self.cached) - count :]
        return self._drops

    def read(self, tokens: list[int]) -> tuple[int, float]:
        self.log.append(("read", len(tokens)))
        self.cached += tokens
        return tokens[-1] + 1, 1.0 if tokens[-1] < LIMIT else 0.0


class Target:
    """A model that checks guesses. `cached`: its tokens."""

    def __init__(self, prompt: list[int]) -> None:
        self.cached = list(prompt)

    def read_rows(self, tokens: list[int]) -> list[str]:
        self.cached += tokens
        return [f"after {token}" for token in tokens]

    def can_drop(self, count: int) -> bool:
        return True

    def drop(self, count: int) -> None:
        del self.cached[len(self.cached) - count :]


@pytest.mark.parametrize("drops", [True, False])
def test_a_draft_model_follows_the_text_through_right_and_wrong_guesses(drops: bool) -> None:
    model = Counting(drops)
    text = [1, 2, 3]
    drafter = ModelDrafter(model, text, longest=4)
    for token in (4, 5, 6, 7, 50, 51, 52, 20, 7, 8, 9, 9, LIMIT, LIMIT + 1):
        drafter.learn(token)
        text.append(token)
        expected = [] if token >= LIMIT else [token + count for count in range(1, 5)]
        assert drafter.propose(10) == expected
        assert model.cached == text + expected[:3]


def test_a_draft_model_reads_only_what_is_new_in_the_text() -> None:
    model = Counting()
    drafter = ModelDrafter(model, range(500), longest=3)
    drafter.learn(500)
    assert drafter.propose(3) == [501, 502, 503]
    model.log.clear()
    for token in (501, 502, 503, 504):
        drafter.learn(token)
    drafter.propose(3)
    # Two of the three guesses were read already; the third and the model's own token were not. No whole text.
    assert model.log == [("read", 2), ("read", 1), ("read", 1)]


def test_a_draft_model_guesses_no_more_than_it_may() -> None:
    model = Counting()
    drafter = ModelDrafter(model, [1], longest=8)
    drafter.learn(2)
    assert drafter.propose(0) == []
    assert model.log == []
    assert drafter.propose(2) == [3, 4]
    # Asked again without a new token, as after a guess that had no room.
    assert drafter.propose(3) == [3, 4, 5]


def test_only_chosen_tokens_stay_in_the_cache() -> None:
    target = Target([1, 2])
    drafted = DraftedRows(target, ModelDrafter(Counting(), [1, 2], longest=4))
    assert [drafted.after(token, 9) for token in (3, 4, 5, 9)] == ["after 3", "after 4", "after 5", "after 9"]
    assert (drafted.drafted, drafted.accepted) == (8, 2)
    drafted.close()
    assert target.cached == [1, 2, 3, 4, 5, 9]


def test_a_failed_reading_leaves_no_guess_to_remove() -> None:
    class Broken(Target):
        def read_rows(self, tokens: list[int]) -> list[str]:
            raise MemoryError

    target = Broken([1, 2])
    drafted = DraftedRows(target, ModelDrafter(Counting(), [1, 2]))
    with pytest.raises(MemoryError):
        drafted.after(3, 9)
    drafted.close()
    assert target.cached == [1, 2]


def test_the_text_is_guessed_from_its_last_occurrence() -> None:
    drafter = NgramDrafter([1, 2, 3, 4, 5, 9, 1, 2, 3, 6, 7, 1, 2, 3])
    assert drafter.propose(8) == [6, 7, 1, 2]
    assert drafter.propose(2) == [6, 7]
    drafter.learn(8)
    assert drafter.propose(8) == []


def test_guesses_grow_while_they_are_right_and_pause_while_they_are_wrong() -> None:
    drafter = NgramDrafter([1, 2, 3] * 40)
    lengths = []
    for _ in range(4):
        guess = drafter.propose(100)
        lengths.append(len(guess))
        drafter.judge(len(guess), len(guess))
    assert lengths == [4, 8, 16, 32]
    for _ in range(2):
        drafter.judge(32, 0)
    assert drafter.propose(100) == []
    for token in [1, 2, 3] * 6:
        drafter.learn(token)
    assert len(drafter.propose(100)) == 4


def test_the_second_source_is_asked_where_the_first_has_no_guess() -> None:
    first, second = NgramDrafter([1, 2, 3, 4]), NgramDrafter([2, 3, 4, 7, 2, 3, 4])
    both = FirstOf([first, second])
    assert both.propose(4) == [7, 2, 3, 4]
