"""Reasoning: which markers a template has, whether a reply starts inside, and where it ends."""

from __future__ import annotations

import pytest

from modules.families.reasoning import (
    Markers,
    ReasoningSplitter,
    ReplyPart,
    find_markers,
    open_reasoning,
    split_reasoning,
    visible_tokens,
)

HARMONY = "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes."

# A template, or a part of one -> the pair that it uses.
TEMPLATES = {
    "{{ '<think>\\n' }}{% if '</think>' in content %}": ("<think>", "</think>"),
    "{{ content.split('</think>')[-1] }}": ("<think>", "</think>"),
    "[THINK]{{ r }}[/THINK]": ("[THINK]", "[/THINK]"),
    "<thinking>{{ r }}</thinking>": ("<thinking>", "</thinking>"),
    "<seed:think>{{ r }}</seed:think>": ("<seed:think>", "</seed:think>"),
    "<reasoning>": ("<reasoning>", "</reasoning>"),
    "<|START_THINKING|>{{ r }}<|END_THINKING|>": ("<|START_THINKING|>", "<|END_THINKING|>"),
    "<|begin_of_thought|>{{ r }}<|end_of_thought|>": ("<|begin_of_thought|>", "<|end_of_thought|>"),
    "<|think_start|>": ("<|think_start|>", "<|think_end|>"),
    "<|end_of_thought|><|begin_of_thought|>": ("<|begin_of_thought|>", "<|end_of_thought|>"),
    "<|think|>{{ r }}<|/think|>": ("<|think|>", "<|/think|>"),
    "◁think▷{{ r }}◁/think▷": ("◁think▷", "◁/think▷"),
    "<|channel|>": ("<|channel|>analysis<|message|>", "<|end|>"),
    "<|inner_prefix|>{{ r }}<|inner_suffix|>": ("<|inner_prefix|>", "<|inner_suffix|>"),
    "<|channel>thought\n{{ r }}<channel|>": ("<|channel>thought", "<channel|>"),
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_markers_of_a_template_are_found(template: str) -> None:
    assert [(pair.start, pair.end) for pair in find_markers(template)] == [TEMPLATES[template]]


@pytest.mark.parametrize(
    "template", ["", "<|im_start|>user\n", "[INST] Think [/INST]", "<s>[think]", "the reason <b>", "<|start|><|end|>"]
)
def test_no_marker_is_seen_where_there_is_none(template: str) -> None:
    assert find_markers(template) == ()


def test_special_tokens_that_are_markers_are_shown_and_no_others() -> None:
    names = ["<s>", "[INST]", "[THINK]", "[/THINK]", "</s>", "<think>", "<|end|>", "<|im_end|>"]
    assert visible_tokens(names, "") == {"[THINK]", "[/THINK]", "<think>"}
    harmony = ["<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|return|>", "<|call|>"]
    assert visible_tokens(harmony, "") == {"<|start|>", "<|channel|>", "<|message|>", "<|end|>"}
    assert visible_tokens(["<|user|>", "<|end|>"], "<|user|>{{ content }}<|end|>") == frozenset()


TAGS = "{% if '</think>' in c %}{% endif %}<think>"


@pytest.mark.parametrize(
    ("prompt", "last", "template", "expected"),
    [
        ("<|user|>Hi<|assistant|>\n<think>\n", "Hi", TAGS, "<think>\n"),
        ("<|user|>Hi<|assistant|>\n<think>\nOkay, ", "Hi", TAGS, "<think>\nOkay, "),
        ("<|user|>Hi<|assistant|>\n<think>\n\n</think>\n\n", "Hi", TAGS, ""),
        ("<|user|>Hi<|assistant|>\n", "Hi", TAGS, ""),
        ("<|user|>What is <think>?<|assistant|>\n", "What is <think>?", TAGS, ""),
        ("<|user|><think><|assistant|>\n", "<think>", TAGS, ""),
        ("<|user|>Hi<|assistant|><seed:think>", "Hi ", "<seed:think>", "<seed:think>"),
        ("<|user|>Hi<|assistant|>[THINK]", "Hi", "[THINK]", "[THINK]"),
        ("<|user|>Hi<|assistant|><ponder>\n", "Hi", "{{ c.split('</ponder>') }}<ponder>", "<ponder>\n"),
        ("<user>Hi</user><assistant>", "Hi", "<user></user><assistant>{{ c }}", ""),
        ("<user>Hi</user><assistant>", "Hi", "<assistant>{{ c }}</assistant>", ""),
        ("changed by the template\n<|assistant|><think>\n", "Hi", TAGS, "<think>\n"),
    ],
)
def test_a_reply_that_starts_inside_reasoning_is_known(prompt: str, last: str, template: str, expected: str) -> None:
    assert open_reasoning(prompt, last, template) == expected


@pytest.mark.parametrize("size", range(1, 20))
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<think>\na < b</think>\n\nYes <th", ("\na < b", "\n\nYes <th")),
        ("No markers, 1 < 2 <", ("", "No markers, 1 < 2 <")),
        ("<think>cut of</thin", ("cut of</thin", "")),
        ("a\n<think>b</think>c\n<think>d</think>e", ("bd", "a\nc\ne")),
        ("Use <think> and\n```\n<think>\n```", ("", "Use <think> and\n```\n<think>\n```")),
        (HARMONY, ("Hm.", "Yes.")),
    ],
)
def test_how_a_reply_is_cut_into_pieces_changes_nothing(text: str, size: int, expected: tuple[str, str]) -> None:
    markers = (Markers("<think>", "</think>"), *find_markers("<|channel|>"))
    splitter = ReasoningSplitter(markers)
    parts = [part for at in range(0, len(text), size) for part in splitter.feed(text[at : at + size])]
    parts += splitter.flush()
    assert "".join(part.text for part in parts) == text
    parts = [part for part in parts if not part.marker]
    assert "".join(part.text for part in parts if part.reasoning) == expected[0]
    assert "".join(part.text for part in parts if not part.reasoning) == expected[1]
    assert split_reasoning(text, markers) == expected


def test_only_what_may_become_a_marker_is_held_back() -> None:
    splitter = ReasoningSplitter([Markers("<think>", "</think>")])
    assert splitter.feed("Hi <th") == [ReplyPart("Hi ", False)]
    assert splitter.feed("e end") == [ReplyPart("<the end", False)]
    start = ReplyPart("<think>", False, marker=True)
    assert splitter.feed("\n<think>a</") == [ReplyPart("\n", False), start, ReplyPart("a", True)]
    assert splitter.flush() == [ReplyPart("</", True)]
