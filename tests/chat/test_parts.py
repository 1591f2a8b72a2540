"""A reply is split into reasoning and text while it streams, and nothing of it is lost."""

from __future__ import annotations

import itertools

import pytest

from modules.chat.parts import (
    REASONING,
    TEXT,
    Part,
    from_json,
    raw_text,
    reasoning_text,
    to_json,
    visible_text,
    with_text,
)
from modules.chat.parts_reader import PartsReader, reply_markers, split_reply, split_stored

# Chat template -> a reply of its model.
REPLIES = {
    "<think></think>": "<think>\nIt is day.\n</think>\n\nGood day.\n",
    "[THINK][/THINK]": "[THINK]It is day.[/THINK]Good day.\n",
    "<|channel|>": "<|channel|>analysis<|message|>It is day.<|end|>"
    "<|start|>assistant<|channel|>final<|message|>Good day.\n",
    "<seed:think></seed:think>": "<seed:think>It is day.</seed:think>Good day.\n",
    "<reasoning></reasoning>": "\n<reasoning>\nIt is day.\n</reasoning>\nGood day.\n",
    "<|begin_of_thought|><|end_of_thought|>": "<|begin_of_thought|>It is day.<|end_of_thought|>\n\nGood day.\n",
    "◁think▷": "◁think▷It is day.◁/think▷Good day.\n",
    "": "<think>It is day.</think>Good day.\n",
    # The prompt began the reasoning, and nothing says so.
    "{{ '</think>' }}": "It is day.\n</think>\n\nGood day.\n",
}


@pytest.mark.parametrize("template", REPLIES)
def test_reasoning_is_apart_wherever_the_reply_is_cut(template: str) -> None:
    reply, markers = REPLIES[template], reply_markers(template)
    whole = split_reply(reply, markers)
    assert [part.kind for part in whole] == [REASONING, TEXT]
    assert (reasoning_text(whole), visible_text(whole), raw_text(whole)) == ("It is day.", "Good day.\n", reply)
    for size in range(1, len(reply)):
        reader = PartsReader(markers)
        for at in range(0, len(reply), size):
            reader.feed(reply[at : at + size])
            assert reply.startswith(raw_text(reader.parts()))
        reader.finish()
        assert reader.parts() == whole


@pytest.mark.parametrize(
    "reply",
    [
        "Write <think> first, and </think> last.",
        "As code:\n```\n<think>\nx\n</think>\n```\nDone.",
        "1 < 2 and\n\n<thing> is no marker",
        "",
        "  \n",
    ],
)
def test_an_answer_that_mentions_markers_is_text(reply: str) -> None:
    parts = split_reply(reply, reply_markers("<think></think>"))
    assert [part.kind for part in parts] == [TEXT] * bool(reply)
    assert visible_text(parts) == raw_text(parts) == reply


def test_a_stored_text_is_split_by_the_marker_that_it_begins_with() -> None:
    assert [part.kind for part in split_stored("<thinking>a</thinking>b")] == [REASONING, TEXT]
    assert [part.kind for part in split_stored("The tag <think> opens.\n</think>")] == [TEXT]
    assert raw_text(split_stored("<think>cut o")) == "<think>cut o"


def test_text_that_may_become_a_marker_is_held_back() -> None:
    reader = PartsReader(reply_markers("<think></think>"))
    reader.feed("<thi")
    assert reader.parts() == ()
    reader.feed("nk>a</thi")
    assert [part.text for part in reader.parts()] == ["a"]
    reader.feed("s")
    assert [part.text for part in reader.parts()] == ["a</this"]


def test_seconds_and_tokens_of_reasoning_are_measured() -> None:
    moments = itertools.count(100.0, 1.5)
    now = next(moments)
    reader = PartsReader(reply_markers(""), clock=lambda: now)
    for number, piece in enumerate(("<think>", "a ", "b", "</think>", "Yes", " indeed"), 1):
        reader.feed(piece, number)
        assert reader.is_thinking == (number <= 4)
        now = next(moments)
    reader.finish()
    reasoning = reader.parts()[0]
    assert (reasoning.meta["seconds"], reasoning.meta["tokens"]) == (4.5, 4)


def test_a_reply_that_was_cut_off_in_its_reasoning_is_continued_there() -> None:
    now = 0.0
    cut = (Part(REASONING, "One ", {"before": "<think>", "after": "", "seconds": 2.0, "tokens": 3}),)
    reader = PartsReader(reply_markers(""), cut, clock=lambda: now)
    reader.feed("two", 1)
    now = 1.0
    reader.feed("</think>\n\nThree <think>", 5)
    reader.finish()
    reasoning, text = reader.parts()
    assert (reasoning.text, text.text) == ("One two", "Three <think>")
    assert (reasoning.meta["seconds"], reasoning.meta["tokens"]) == (3.0, 8)


def test_a_new_text_keeps_the_reasoning_and_ends_it() -> None:
    parts = with_text(split_reply("<think>Cut o", reply_markers("")), "Mine.")
    assert raw_text(parts) == "<think>Cut o\n</think>\n\nMine."
    assert raw_text(with_text(split_stored("<think>a</think>b"), "c")) == "<think>a</think>c"


def test_parts_survive_json_and_broken_ones_are_refused() -> None:
    parts = split_reply("<think>a</think>b", reply_markers(""))
    assert from_json(to_json(parts)) == parts
    for broken in ("text", [{"kind": "image", "text": "x"}], [{"kind": "text"}], [3]):
        with pytest.raises(ValueError):
            from_json(broken)


def test_numbers_of_meta_that_nothing_can_have_are_left_out() -> None:
    for odd in (10**400, -(10**400), float("nan"), float("inf")):
        value = {"kind": "reasoning", "text": "a", "meta": {"before": "<think>", "seconds": odd, "tokens": 7}}
        (part,) = from_json([value])
        assert part.meta == {"before": "<think>", "tokens": 7}
