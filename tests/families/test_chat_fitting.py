"""A chat is cut in large steps, at places that depend only on the chat. A token is a word here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from modules.families.audio_file import PCM, TOKENS_PER_SECOND, read_length
from modules.families.chat_fitting import FittedChat, fit_chat, remember_counts
from modules.families.message_content import content_text, media_paths
from modules.protocol.errors import PromptError
from modules.protocol.events import ChatPromptResult
from tests.support.sounds import wav_of

SYSTEM = [{"role": "system", "content": "be kind"}]


def render(messages: Sequence[Mapping[str, Any]]) -> ChatPromptResult:
    prompt = "".join(f"[{message['role']}] {message['content']} " for message in messages)
    return ChatPromptResult(prompt, len(prompt.split()), "test")


def word_counts(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def turns(count: int, words: int = 9) -> list[dict[str, Any]]:
    """Return `count` questions with answers, and a question."""
    text = " ".join(["word"] * words)
    asked = [{"role": role, "content": f"{n} {text}"} for n in range(count) for role in ("user", "assistant")]
    return [*asked, {"role": "user", "content": "the question"}]


def fit(messages: list[dict[str, Any]], context: int = 400, first: list[dict[str, Any]] = SYSTEM) -> FittedChat:
    return fit_chat(
        render,
        [*first, *messages],
        context=context,
        max_new_tokens=100,
        count=word_counts,
        keep_first=len(first),
    )


def test_a_cut_stays_for_many_turns_and_the_prompt_always_fits() -> None:
    cuts = [fit(turns(count)) for count in range(1, 80)]
    assert all(one.rendered.result.tokens <= 300 for one in cuts)
    places = [one.left_out for one in cuts]
    assert places == sorted(places) and places[0] == 0
    lengths = [places.count(place) for place in sorted(set(places))]
    # A step has 150 tokens, and a turn 22.
    assert all(length in (6, 7) for length in lengths[1:-1]), lengths
    assert min(one.rendered.result.tokens for one in cuts if one.left_out) > 110, "some of the history always stays"


def test_each_prompt_begins_with_the_one_before_while_the_cut_stays() -> None:
    cuts = [fit(turns(count)) for count in range(20, 60)]
    pairs = list(zip(cuts, cuts[1:], strict=False))
    same = [(one, two) for one, two in pairs if one.left_out == two.left_out]
    assert len(same) > 0.8 * len(pairs)
    for one, two in same:
        shared = one.rendered.result.prompt.rpartition("[user] the question")[0]
        assert two.rendered.result.prompt.startswith(shared)


def test_edits_and_other_branches_below_the_cut_do_not_move_it() -> None:
    history = turns(40)
    place = fit(history).left_out
    edited = [*history[:-3], {"role": "user", "content": "something else"}, *turns(0)]
    assert fit(edited).left_out == place
    assert fit([*history[:-1], {"role": "user", "content": "another question"}]).left_out == place


def test_a_system_message_that_changes_a_little_moves_the_cut_only_where_the_context_is_full() -> None:
    short, longer = ([{"role": "system", "content": "kind " * length}] for length in (2, 8))
    moved = [fit(turns(count), first=short).left_out != fit(turns(count), first=longer).left_out for count in range(60)]
    assert sum(moved) < 20


@pytest.mark.parametrize("words", [150, 200, 250, 290])
def test_a_long_system_message_leaves_room_for_some_history(words: int) -> None:
    system = [{"role": "system", "content": "kind " * words}]
    for count in range(20, 60):
        fitted = fit(turns(count, words=3), first=system)
        assert fitted.rendered.result.tokens <= 300
        if words < 280:
            assert len(fitted.rendered.turns) > 2, "not the question alone"


def test_a_long_chat_is_not_rendered_whole() -> None:
    lengths = []

    def counted(messages: Sequence[Mapping[str, Any]]) -> ChatPromptResult:
        lengths.append(len(messages))
        return render(messages)

    fit_chat(counted, turns(500), context=400, max_new_tokens=100, count=word_counts)
    assert max(lengths) < 600 and len(lengths) < 14


def test_a_template_that_writes_much_around_messages_still_gives_a_prompt_that_fits() -> None:
    def wordy(messages: Sequence[Mapping[str, Any]]) -> ChatPromptResult:
        return ChatPromptResult("", sum(len(one["content"].split()) + 30 for one in messages) + 40, "test")

    for count in range(3, 30):
        history = turns(count)
        fitted = fit_chat(wordy, history, context=400, max_new_tokens=100, count=word_counts)
        assert fitted.rendered.result.tokens <= 300 and fitted.left_out < len(history) - 1


def test_counts_are_remembered_by_text() -> None:
    asked: list[Sequence[str]] = []

    def count(texts: Sequence[str]) -> list[int]:
        asked.append(texts)
        return [len(text) for text in texts]

    remembered = remember_counts(count)
    assert remembered(("ab", "abc", "ab", "\ud800")) == [2, 3, 2, 1]
    assert remembered(("abc", "a", "ab")) == [3, 1, 2] and remembered(["a"]) == [1]
    assert asked == [["ab", "abc", "\ud800"], ["a"]]


def test_a_long_sound_at_the_beginning_goes_out_and_the_turns_after_it_stay(tmp_path: Path) -> None:
    sound = tmp_path / "sound.wav"
    sound.write_bytes(wav_of(bytes(240 * 1000), PCM, 1, 1000, 1))

    def heard(messages: Sequence[Mapping[str, Any]]) -> ChatPromptResult:
        words = sum(2 + len(content_text(message["content"]).split()) for message in messages)
        return ChatPromptResult("", words + int(TOKENS_PER_SECOND * sum(map(read_length, media_paths(messages)))), "")

    asked = [{"type": "audio", "path": str(sound)}, {"type": "text", "text": "What is this?"}]
    history: list[dict[str, Any]] = [{"role": "user", "content": asked}, {"role": "assistant", "content": "A heron."}]
    history += turns(10, words=60)
    fitted = fit_chat(heard, history, context=8192, max_new_tokens=1000, count=word_counts)
    assert heard(history).tokens > 8192 - 1000
    assert fitted.left_out == 2


@pytest.fixture
def short_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sections have so many characters as chats of a few hundred messages."""
    monkeypatch.setattr("modules.families.chat_fitting._SHORTEST_SECTION", 20_000)


def test_of_a_very_long_chat_only_the_newest_messages_are_counted() -> None:
    counted: list[int] = []

    def count(texts: Sequence[str]) -> list[int]:
        counted.extend(map(len, texts))
        return word_counts(texts)

    history = turns(15_000, words=20)
    fitted = fit_chat(render, history, context=400, max_new_tokens=100, count=remember_counts(count))
    assert 100 < fitted.rendered.result.tokens <= 300
    assert len(counted) < len(history) / 4


@pytest.mark.usefixtures("short_sections")
def test_a_cut_of_a_very_long_chat_stays_for_many_turns_and_after_edits() -> None:
    cuts = {count: fit(turns(count)) for count in range(300, 420)}
    assert all(100 < one.rendered.result.tokens <= 300 for one in cuts.values())
    places = [one.left_out for one in cuts.values()]
    assert places == sorted(places)
    lengths = [places.count(place) for place in sorted(set(places))]
    # A step has 150 tokens, and a turn 22. One that ends with a section may be shorter.
    assert all(5 <= length <= 7 for length in lengths[1:-1]), lengths
    history = turns(400)
    edited = [*history[:-3], {"role": "user", "content": "something else"}, *turns(0)]
    assert fit(edited).left_out == fit(history).left_out


@pytest.mark.usefixtures("short_sections")
def test_a_last_turn_longer_than_a_section_is_kept_alone() -> None:
    steps = [{"role": "tool", "content": "found " * 500} for _ in range(20)]
    history = [*turns(300), *steps]
    fitted = fit(history)
    assert fitted.left_out == len(turns(300)) - 1 and fitted.rendered.result.tokens > 300


@pytest.mark.usefixtures("short_sections")
def test_a_very_long_chat_is_refused_without_rendering_it() -> None:
    def refused(messages: list[dict[str, Any]], render: Callable[..., ChatPromptResult]) -> str:
        with pytest.raises(PromptError) as refusal:
            fit_chat(render, messages, context=400, max_new_tokens=100, count=word_counts, refuse=True)
        return refusal.value.message

    def fail(messages: object) -> ChatPromptResult:
        raise AssertionError("A very long chat was rendered.")

    assert "This chat has more than 300 tokens; the context holds 400" in refused(turns(1000), fail)
    assert f"This chat has {render(turns(60)).tokens} tokens; the context holds 400" in refused(turns(60), render)
