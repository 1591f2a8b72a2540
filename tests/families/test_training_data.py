"""Data sets of every shape become the same examples, and rows that cannot be used are named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modules.families.training_data import Example, read_training_data
from modules.protocol.errors import ModelError

CHAT = Example(({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}))


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
        {"instruction": "Hi", "input": "", "output": "Hello"},
        {"prompt": "Hi", "completion": "Hello"},
    ],
    ids=["openai", "sharegpt", "alpaca", "pair"],
)
@pytest.mark.parametrize("ending", [".jsonl", ".json"])
def test_every_shape_of_a_chat_is_the_same_example(tmp_path: Path, row: dict[str, Any], ending: str) -> None:
    file = tmp_path / f"data{ending}"
    file.write_text(json.dumps(row if ending == ".jsonl" else [row]), encoding="utf-8")
    data = read_training_data(file)
    assert (data.examples, data.broken, data.notes()) == ([CHAT], [], [])


def test_alpacas_input_follows_its_instruction(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text(json.dumps({"instruction": "Translate.", "input": "chat", "output": "cat"}), encoding="utf-8")
    assert read_training_data(file).examples[0].messages[0]["content"] == "Translate.\n\nchat"


def test_a_question_without_an_answer_at_the_end_is_left_out(tmp_path: Path) -> None:
    turns = [("user", "Hi"), ("assistant", "Hello"), ("user", "And now?")]
    row = {"messages": [{"role": role, "content": content} for role, content in turns]}
    file = tmp_path / "data.jsonl"
    file.write_text(json.dumps(row), encoding="utf-8")
    assert read_training_data(file).examples == [CHAT]


def test_a_folder_is_read_in_the_order_of_names_and_text_stays_whole(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("Two\nlines", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "One"}\n\n', encoding="utf-8")
    (tmp_path / "ignored.png").write_bytes(b"x")
    assert read_training_data(tmp_path).examples == [Example(text="One"), Example(text="Two\nlines")]


def test_broken_rows_are_counted_and_named(tmp_path: Path) -> None:
    rows = ["not json", '{"a": 1}', '{"messages": [{"role": "user", "content": "Hi"}]}', '{"text": " "}', "[1]"]
    rows += ['{"messages": [{"role": "alien", "content": "x"}]}', '{"prompt": "Hi", "completion": "Hello"}']
    file = tmp_path / "data.jsonl"
    file.write_text("\n".join(rows), encoding="utf-8")
    data = read_training_data(file)
    assert data.examples == [CHAT]
    assert len(data.broken) == 6
    (note,) = data.notes()
    assert note.startswith("6 rows were left out: data.jsonl, line 1: ")
    assert "data.jsonl, line 2: none of its keys is known (a)" in note
    assert "data.jsonl, line 3: it has no reply" in note
    assert note.endswith("and 1 more.")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.jsonl", b"", "empty.jsonl has no example to train on"),
        ("broken.jsonl", b"{", "1 row was left out: broken.jsonl, line 1"),
        ("latin.jsonl", b"\xff\xfe", "can't decode"),
        ("table.csv", b"a,b", "table.csv is not a kind of file that is read"),
    ],
)
def test_data_without_an_example_is_a_sentence(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_training_data(tmp_path / name)
    assert words in caught.value.message


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no data at"):
        read_training_data(tmp_path / "nowhere.jsonl")
