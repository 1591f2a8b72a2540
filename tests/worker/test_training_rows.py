"""Labels are on replies and on the tokens that end them, whatever the chat template writes around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modules.families.training_data import Example
from modules.families.turn_order import RenderedTurns
from modules.protocol.errors import PromptError
from modules.protocol.events import ChatPromptResult
from modules.worker.hf.training.tokenized import IGNORED, ExampleTokenizer, Row

END = ord("$")


class Letters:
    """A format with one token for each letter: `u:Hi$a:Hello$`. `$` ends a turn. Subclasses differ in one rule."""

    ends = frozenset([END])
    end: int | None = END

    def prompt_tokens(self, text: str) -> list[int]:
        return [ord("^"), *self.text_tokens(text)]

    def text_tokens(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def render(self, messages: Sequence[Mapping[str, Any]], opened: bool) -> str:
        turns = "".join(f"{turn['role'][0]}:{turn['content']}$" for turn in messages)
        return f"{turns}a:" if opened else turns

    def ordered(self, messages: Sequence[Mapping[str, Any]]) -> RenderedTurns:
        return RenderedTurns(ChatPromptResult("", 0, ""), (), list(messages))


def _chat(*texts: str) -> Example:
    roles = ("user", "assistant")
    return Example(tuple({"role": roles[place % 2], "content": text} for place, text in enumerate(texts)))


def _rows(example: Example, format: Letters | None = None, cutoff: int = 100, replies_only: bool = True) -> list[Row]:
    return ExampleTokenizer(format or Letters(), cutoff, replies_only).rows(example)


def _text(tokens: list[int]) -> str:
    return "".join("." if token == IGNORED else chr(token) for token in tokens)


def test_only_the_reply_and_its_end_are_learned() -> None:
    (row,) = _rows(_chat("Hi", "Hello"))
    assert _text(row["input_ids"]) == "^u:Hi$a:Hello$"
    assert _text(row["labels"]) == "........Hello$"


def test_every_reply_of_a_chat_is_learned() -> None:
    (row,) = _rows(_chat("Hi", "Hello", "Who?", "Me"))
    assert _text(row["input_ids"]) == "^u:Hi$a:Hello$u:Who?$a:Me$"
    assert _text(row["labels"]) == "........Hello$........." + "Me$"


def test_questions_are_learned_too_if_asked() -> None:
    (row,) = _rows(_chat("Hi", "Hello"), replies_only=False)
    assert row["labels"] == row["input_ids"]


def test_a_template_that_changes_earlier_replies_gets_a_row_for_each() -> None:
    class Forgetful(Letters):
        """Writes earlier replies without their reasoning in brackets."""

        def render(self, messages: Sequence[Mapping[str, Any]], opened: bool) -> str:
            last = len(messages) - 1
            shown = [
                turn if place == last and not opened else {**turn, "content": turn["content"].split(")")[-1]}
                for place, turn in enumerate(messages)
            ]
            return super().render(shown, opened)

    rows = _rows(_chat("Hi", "(hm)Hello", "Who?", "(me)Me"), Forgetful())
    assert [_text(row["input_ids"]) for row in rows] == ["^u:Hi$a:(hm)Hello$", "^u:Hi$a:Hello$u:Who?$a:(me)Me$"]
    assert [_text(row["labels"]).lstrip(".") for row in rows] == ["(hm)Hello$", "(me)Me$"]


def test_a_reply_follows_the_prompt_that_asks_for_it_even_if_the_template_writes_it_otherwise() -> None:
    class Thinking(Letters):
        """Opens a reply with a mark that it does not write in a message."""

        def render(self, messages: Sequence[Mapping[str, Any]], opened: bool) -> str:
            return super().render(messages, opened) + ("<think>" if opened else "")

    (row,) = _rows(_chat("Hi", "Hello"), Thinking())
    assert _text(row["input_ids"]) == "^u:Hi$a:<think>Hello$"
    assert _text(row["labels"]).lstrip(".") == "Hello$"


def test_a_template_without_an_end_gets_one() -> None:
    class Endless(Letters):
        def render(self, messages: Sequence[Mapping[str, Any]], opened: bool) -> str:
            return super().render(messages, opened).replace("$", "\n")

    (row,) = _rows(_chat("Hi", "Hello"), Endless())
    assert _text(row["input_ids"]).endswith("Hello\n$")
    assert row["labels"][-1] == END


def test_a_chat_beyond_the_cutoff_loses_its_end_and_is_counted() -> None:
    tokenizer = ExampleTokenizer(Letters(), 10, True)
    (row,) = tokenizer.rows(_chat("Hi", "Hello"))
    assert _text(row["labels"]) == "........He"
    assert tokenizer.rows(_chat("A long question", "Hello")) == []
    assert tokenizer.notes() == [
        "Examples longer than the cutoff of 10 tokens, which lost their end: 2.",
        "Examples left out because the cutoff removed all of their replies: 1.",
    ]


def test_a_chat_that_the_template_refuses_is_counted() -> None:
    class Strict(Letters):
        def ordered(self, messages: Sequence[Mapping[str, Any]]) -> RenderedTurns:
            raise PromptError("No system message, please.")

    tokenizer = ExampleTokenizer(Strict(), 100, True)
    assert tokenizer.rows(_chat("Hi", "Hello")) == []
    assert "refused them: 1. The first: No system message, please." in tokenizer.notes()[0]


def test_a_long_text_is_cut_into_pieces_and_learned_whole() -> None:
    rows = _rows(Example(text="abcdefg"), cutoff=4)
    assert [_text(row["input_ids"]) for row in rows] == ["^abc", "defg"]  # the end alone teaches nothing
    assert all(row["labels"] == row["input_ids"] for row in rows)
