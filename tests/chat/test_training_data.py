"""Rated chats as data for training, and that `train` reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modules.chat.messages import Message
from modules.chat.parts import Part, plain
from modules.chat.training_data import training_line, write_training
from modules.jobs.text_files import file_rows
from modules.protocol.errors import PaddockError


def chat(*turns: tuple[str, str, int]) -> list[Message]:
    """Return messages of (role, text, rating)."""
    return [
        Message(str(place), None, role, plain(text), 0.0, meta={"rating": rating} if rating else {})
        for place, (role, text, rating) in enumerate(turns)
    ]


def turns(line: str) -> list[tuple[str, str]]:
    """Return (role, content) of a line."""
    found: dict[str, list[dict[str, Any]]] = json.loads(line) if line else {"messages": []}
    return [(turn["role"], turn["content"]) for turn in found["messages"]]


GOOD = chat(("user", "a", 0), ("assistant", "b", 1), ("user", "c", 0), ("assistant", "d", 0))
BAD = chat(("user", "a", 0), ("assistant", "b", 0), ("user", "c", 0), ("assistant", "d", -1), ("user", "e", 0))


def test_a_bad_reply_and_what_rests_on_it_are_left_out() -> None:
    assert turns(training_line(BAD)) == [("user", "a"), ("assistant", "b")]
    assert training_line(chat(("user", "a", 0), ("assistant", "b", -1))) == ""


def test_reasoning_is_left_out_and_the_system_prompt_goes_first() -> None:
    thought = Part("reasoning", "hm", {"before": "<think>", "after": "</think>"})
    message = Message("1", "0", "assistant", (thought, *plain("b")), 0.0)
    line = training_line([*chat(("user", "a", 0)), message], "Be brief.")
    assert turns(line) == [("system", "Be brief."), ("user", "a"), ("assistant", "b")]


def test_as_soon_as_a_reply_is_good_only_chats_up_to_good_ones_are_written() -> None:
    lines = write_training([(GOOD, ""), (BAD, "")]).splitlines()
    assert [turns(line) for line in lines] == [[("user", "a"), ("assistant", "b")]]
    assert len(write_training([(BAD, ""), (BAD, "")]).splitlines()) == 2
    with pytest.raises(PaddockError, match="no replies"):
        write_training([(chat(("user", "a", 0)), "")])


def test_train_reads_the_file(tmp_path: Path) -> None:
    file = tmp_path / "training.jsonl"
    file.write_text(write_training([(GOOD, "Be brief.")]), encoding="utf-8")
    broken: list[str] = []
    rows = list(file_rows(file, broken))
    assert not broken
    assert rows == [
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"},
            ]
        }
    ]
