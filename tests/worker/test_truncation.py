from __future__ import annotations

import pytest

from modules.protocol.errors import PromptError
from modules.worker.truncation import fit_prompt


def test_a_prompt_that_fits_stays_whole() -> None:
    assert fit_prompt([1, 2, 3], context=10, max_new_tokens=5, truncate=True) == ([1, 2, 3], 0)


def test_the_oldest_tokens_are_cut_and_counted_and_bos_stays() -> None:
    tokens = [99, *range(20)]
    assert fit_prompt(tokens, context=10, max_new_tokens=4, truncate=True, keep_first=1) == (
        [99, 15, 16, 17, 18, 19],
        15,
    )
    assert fit_prompt(tokens, context=10, max_new_tokens=4, truncate=True) == ([14, 15, 16, 17, 18, 19], 15)


def test_a_huge_reply_limit_takes_half_of_the_context_at_most() -> None:
    kept, cut = fit_prompt(list(range(20)), context=10, max_new_tokens=10_000, truncate=True)
    assert (kept, cut) == ([15, 16, 17, 18, 19], 15)


def test_without_truncate_a_prompt_may_leave_less_room_than_the_reply_could_take() -> None:
    assert fit_prompt([1] * 9, context=10, max_new_tokens=500, truncate=False) == ([1] * 9, 0)


def test_without_truncate_a_prompt_as_long_as_the_context_is_refused_with_both_numbers() -> None:
    with pytest.raises(PromptError, match="10 tokens.*context takes 10"):
        fit_prompt([1] * 10, context=10, max_new_tokens=1, truncate=False)


def test_the_callers_prompt_is_not_changed() -> None:
    tokens = list(range(30))
    fit_prompt(tokens, context=10, max_new_tokens=4, truncate=True, keep_first=1)
    assert tokens == list(range(30))
