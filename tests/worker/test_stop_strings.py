from __future__ import annotations

import itertools

import pytest

from modules.worker.stop_strings import StopFilter


def run(stops: list[str], pieces: list[str]) -> tuple[str, StopFilter]:
    stopping = StopFilter(stops)
    shown = "".join(stopping.feed(piece) for piece in pieces)
    return shown + stopping.flush(), stopping


def cuts(text: str) -> list[list[str]]:
    """Return every way to cut `text` into pieces."""
    ways = []
    for marks in itertools.product([False, True], repeat=len(text) - 1):
        pieces, start = [], 0
        for at, mark in enumerate(marks, 1):
            if mark:
                pieces.append(text[start:at])
                start = at
        ways.append([*pieces, text[start:]])
    return ways


def test_without_stops_all_text_passes_at_once() -> None:
    assert StopFilter([]).feed("abc") == "abc"
    assert StopFilter(["", ""]).feed("abc") == "abc"


@pytest.mark.parametrize("pieces", cuts("hi\nYou:x"))
def test_a_stop_text_never_leaks_for_any_cut_into_pieces(pieces: list[str]) -> None:
    shown, stopping = run(["\nYou:"], pieces)
    assert shown == "hi"
    assert stopping.stopped
    assert stopping.stop == "\nYou:"


@pytest.mark.parametrize("pieces", cuts("ab\n\nYo abc"))
def test_an_incomplete_stop_text_is_shown_at_the_end(pieces: list[str]) -> None:
    shown, stopping = run(["\nYou:", "abcd"], pieces)
    assert shown == "ab\n\nYo abc"
    assert not stopping.stopped


@pytest.mark.parametrize("pieces", cuts("xaabcy"))
def test_the_first_complete_of_overlapping_stop_texts_wins(pieces: list[str]) -> None:
    shown, stopping = run(["aabc", "ab", "b"], pieces)
    assert (shown, stopping.stop) == ("xa", "ab")


def test_a_repeating_beginning_is_not_missed() -> None:
    shown, stopping = run(["aab"], list("aaaab"))
    assert (shown, stopping.stopped) == ("aa", True)


def test_only_a_possible_stop_text_is_held_back() -> None:
    stopping = StopFilter(["</s>"])
    assert stopping.feed("one <") == "one "
    assert stopping.feed("b>") == "<b>"


def test_nothing_passes_after_a_stop() -> None:
    stopping = StopFilter(["."])
    assert stopping.feed("a.b") == "a"
    assert stopping.feed("c") == ""
    assert stopping.flush() == ""
