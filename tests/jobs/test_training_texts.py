"""Data of every shape and source becomes the same examples, and rows that cannot be used are named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.families.training_data import Example, TrainingData
from modules.jobs.job_spec import JobError
from modules.jobs.texts import TextSources
from modules.jobs.training_texts import read_training_texts
from modules.protocol.errors import PaddockError
from tests.support.hub import hub_of
from tests.support.text_files import write_parquet_rows

CHAT = Example(({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}))
TURNS = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
SHAPES: dict[str, dict[str, Any]] = {
    "openai": {"messages": TURNS},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]},
    "alpaca": {"instruction": "Hi", "input": "", "output": "Hello"},
    "pair": {"prompt": "Hi", "completion": "Hello"},
}


def _read(path: Path) -> TrainingData:
    return read_training_texts(str(path), TextSources(path, lambda name: []))


@pytest.mark.parametrize("row", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("ending", [".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet"])
def test_every_shape_of_a_chat_is_the_same_example(tmp_path: Path, row: dict[str, Any], ending: str) -> None:
    file = tmp_path / f"data{ending}"
    if ending == ".parquet":
        write_parquet_rows(file, [{"id": 7, **row}])
    else:
        text = json.dumps(row if "jsonl" in ending else {"data": [row]}).encode()
        file.write_bytes(gzip.compress(text) if ending.endswith("gz") else text)
    data = _read(file)
    assert (data.examples, data.broken, data.notes()) == ([CHAT], [], [])


def test_a_table_may_mix_shapes_and_names_its_broken_rows(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"messages": TURNS, "text": "not this"},
        {"text": "raw"},
        {"text": " "},
        {"system": "Be brief.", "messages": TURNS[:1]},
    ]
    write_parquet_rows(tmp_path / "rows.parquet", rows)
    data = _read(tmp_path)
    assert data.examples == [CHAT, Example(text="raw")]
    assert [line.removeprefix("rows.parquet ") for line in data.broken] == [
        "row 3: the text is empty",
        "row 4: it has no reply",
    ]


def test_a_pair_without_an_answer_is_named_as_that(tmp_path: Path) -> None:
    file = write_parquet_rows(tmp_path / "rows.parquet", [SHAPES["pair"], {"prompt": "Hi", "completion": None}])
    assert _read(file).broken == ["rows.parquet row 2: the question or the answer is no text"]


def test_a_table_of_other_columns_is_a_sentence(tmp_path: Path) -> None:
    write_parquet_rows(tmp_path / "rows.parquet", [{"body": "x", "system": "y"}])
    with pytest.raises(JobError, match=r"prompt and completion\. Its columns are: body, system"):
        _read(tmp_path)


def test_alpacas_input_follows_its_instruction(tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text(json.dumps({"instruction": "Translate.", "input": "chat", "output": "cat"}), encoding="utf-8")
    assert _read(file).examples[0].messages[0]["content"] == "Translate.\n\nchat"


def test_a_question_without_an_answer_at_the_end_is_left_out(tmp_path: Path) -> None:
    row = {"messages": [*TURNS, {"role": "user", "content": "And now?"}]}
    file = tmp_path / "data.jsonl"
    file.write_text(json.dumps(row), encoding="utf-8")
    assert _read(file).examples == [CHAT]


def test_a_folder_is_read_in_the_order_of_names_and_text_stays_whole(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("Two\nlines", encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "One"}\n\n"A text alone"\n', encoding="utf-8")
    (tmp_path / "ignored.png").write_bytes(b"x")
    assert [example.text for example in _read(tmp_path).examples] == ["One", "A text alone", "Two\nlines"]


def test_broken_rows_are_counted_and_named(tmp_path: Path) -> None:
    rows = ["not json", '{"a": 1}', '{"messages": [{"role": "user", "content": "Hi"}]}', '{"text": " "}', "[1]"]
    rows += ['{"messages": [{"role": "alien", "content": "x"}]}', '{"messages": 5}', json.dumps(SHAPES["pair"])]
    file = tmp_path / "data.jsonl"
    file.write_bytes("\n".join(rows).encode() + b'\n{"text": "caf\xe9"}\n')
    data = _read(file)
    assert data.examples == [CHAT]
    assert [line.split(": ", 1)[0] for line in data.broken] == [
        f"data.jsonl line {n}" for n in (1, 2, 3, 4, 5, 6, 7, 9)
    ]
    assert data.broken[1:3] == [
        "data.jsonl line 2: none of its keys is known (a)",
        "data.jsonl line 3: it has no reply",
    ]
    (note,) = data.notes()
    assert note.startswith("8 rows were left out: data.jsonl line 1: ")
    assert note.endswith("and 3 more.")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.jsonl", b"", "empty.jsonl has no example to train on"),
        ("broken.jsonl", b"{", "1 row was left out: broken.jsonl line 1"),
        ("latin.txt", b"caf\xe9", "can't decode byte 0xe9 in position 3"),
        ("table.csv", b"a,b", "table.csv is not a kind of file that is read"),
        ("cut.jsonl.gz", gzip.compress(b"x" * 999, mtime=0)[:9], "cut.jsonl.gz cannot be read"),
    ],
)
def test_data_without_an_example_is_a_sentence(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(JobError) as caught:
        _read(tmp_path / name)
    assert words in caught.value.message


def test_a_data_set_of_the_hub_is_raw_text(tmp_path: Path) -> None:
    lines = [json.dumps({"text": text}) for text in ("one", "two")]
    files = {"en/c4-validation.00001-of-00008.json.gz": gzip.compress("\n".join([*lines, "broken"]).encode())}
    with hub_of(files) as hub:
        texts = TextSources(tmp_path, lambda name: [], hub.address)
        data = read_training_texts("c4", texts)
    assert data.examples == [Example(text="one"), Example(text="two")]
    assert data.broken[0].startswith("c4-validation-1.json.gz line 3: ")


def test_a_past_chat_is_one_example_and_needs_a_reply(app: App) -> None:
    chat = app.chats.create()
    app.chats.rename(chat.id, "My Talk")
    first = app.chats.store.add(chat.id, None, "user", "Hi")
    texts = app.jobs.resources.texts
    with pytest.raises(JobError, match="chat:My Talk has no example to train on. 1 row was left out: .* has no reply"):
        read_training_texts("chat:My Talk", texts)
    app.chats.store.add(chat.id, first, "assistant", "Hello")
    assert read_training_texts("chat:My Talk", texts).examples == [CHAT]
    with pytest.raises(PaddockError, match="There is no chat called 'other'"):
        read_training_texts("chat:other", texts)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="There is no text at"):
        _read(tmp_path / "nowhere.jsonl")
