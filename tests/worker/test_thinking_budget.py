"""Reasoning ends after its budget, and the model then answers."""

from __future__ import annotations

import re
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from modules.protocol.commands import Generate
from modules.protocol.events import ModelInfo
from modules.protocol.sampling import SamplingParams
from modules.worker.engine import EngineBase, Outcome, Piece, Report
from modules.worker.thinking_budget import generate_within_budget

TEMPLATE = "<think></think>"


class Thinker(EngineBase):
    """Writes `text` in pieces of so many words, or the answer "Yes indeed." to a prompt in which the reasoning has
    ended. A word is a token."""

    def __init__(self, text: str, words: int = 1) -> None:
        self.text, self.words = text, words
        self.prompts: list[str] = []
        self.limits: list[int] = []

    def load(self, path: Path, settings: Any, report: Report) -> ModelInfo:
        return ModelInfo(0)

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        self.prompts.append(request.prompt)
        self.limits.append(request.params.max_new_tokens)
        words = re.findall(r"\s*\S+", "Yes indeed." if re.search("</think>|final", request.prompt) else self.text)
        count = 0
        for first in range(0, len(words), self.words):
            if cancelled.is_set():
                return Outcome("cancelled", 7, generated_tokens=count)
            several = words[first : first + self.words]
            count += len(several)
            yield Piece("".join(several), len(several))
        return Outcome("stop", 7, generated_tokens=count, decode_seconds=1.0)

    def tokenize(self, text: str, special: bool) -> list[int]:
        self.known = re.findall(r"\s*\S+", text)
        return list(range(len(self.known)))

    def detokenize(self, tokens: list[int]) -> str:
        return "".join(self.known[token] for token in tokens)


def run(engine: Thinker, budget: int, template: str = TEMPLATE, **fields: Any) -> tuple[str, Outcome]:
    """Return the whole text and the outcome."""
    request = Generate("1", "Why? ", SamplingParams(max_new_tokens=50), thinking_budget=budget, **fields)
    pieces = generate_within_budget(engine, request, threading.Event(), template)
    text = ""
    while True:
        try:
            text += next(pieces).text
        except StopIteration as end:
            return text, end.value


def test_the_end_is_written_after_the_budget_and_the_model_answers() -> None:
    engine = Thinker("<think> one two three four five </think> No.")
    text, outcome = run(engine, 4)
    assert text == "<think> one two three\n</think>\n\nYes indeed."
    assert engine.prompts == ["Why? ", "Why? <think> one two three\n</think>\n\n"]
    assert engine.limits == [50, 46]
    assert (outcome.reason, outcome.prompt_tokens, outcome.generated_tokens) == ("stop", 7, 6)


@pytest.mark.parametrize("words", [2, 3, 5, 50])
def test_the_budget_holds_for_an_engine_that_sends_many_tokens_at_once(words: int) -> None:
    engine = Thinker("<think> one two three four five six seven eight", words)
    text, outcome = run(engine, 4)
    assert text == "<think> one two three\n</think>\n\nYes indeed."
    assert (engine.limits, outcome.generated_tokens) == ([50, 46], 6)
    answer = "<think> one two </think> No, it is not so."
    assert run(Thinker(answer, words), 4)[0] == answer


@pytest.mark.parametrize(
    ("text", "budget", "template"),
    [
        ("<think> one two </think> No.", 10, TEMPLATE),
        ("<think> one two three four </think> No.", 0, TEMPLATE),
        ("<think> one two three four </think> No.", 2, ""),
        ("one two three four five", 2, TEMPLATE),
    ],
)
def test_a_reply_within_the_budget_or_without_markers_is_the_engine_s(text: str, budget: int, template: str) -> None:
    engine = Thinker(text)
    assert run(engine, budget, template)[0] == text
    assert len(engine.prompts) == 1


def test_reasoning_that_the_prompt_began_counts() -> None:
    assert run(Thinker("one two three four"), 2, opening="<think>\n")[0] == "one two\n</think>\n\nYes indeed."


def test_a_template_with_channels_goes_on_in_the_final_one() -> None:
    engine = Thinker("<|channel|>analysis<|message|>Hm. Hm. Hm.<|end|>")
    text, _ = run(engine, 2, "<|channel|>")
    assert text.endswith("Hm. Hm.<|end|><|start|>assistant<|channel|>final<|message|>Yes indeed.")


def test_a_reply_that_is_cancelled_in_its_reasoning_ends_there() -> None:
    engine = Thinker("<think> one two three four")
    cancelled = threading.Event()
    request = Generate("1", "Why? ", thinking_budget=3)
    pieces = generate_within_budget(engine, request, cancelled, TEMPLATE)
    next(pieces)
    cancelled.set()
    with pytest.raises(StopIteration) as end:
        next(pieces)
    assert end.value.value.reason == "cancelled"
    assert len(engine.prompts) == 1
