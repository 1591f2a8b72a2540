"""Calibration and evaluation text: which files are read, and what is wrong with others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modules.app import App
from modules.families.calibration import CalibrationSettings
from modules.jobs.job_spec import JobError
from modules.jobs.texts import calibration_rows, evaluation_rows


def test_the_two_samples_share_no_reply() -> None:
    def replies(rows: list[dict[str, object]]) -> set[str]:
        turns = [turn for row in rows for turn in row.get("messages", [])]  # type: ignore[attr-defined]
        return {turn["content"] for turn in turns if turn["role"] == "assistant"}

    calibration, held_out = calibration_rows(""), evaluation_rows("")
    assert len(calibration.rows) > 100
    assert len(held_out.rows) > 50
    assert not replies(calibration.rows) & replies(held_out.rows)


def test_chat_data_of_three_kinds_becomes_messages(tmp_path: Path) -> None:
    file = tmp_path / "chats.jsonl"
    rows = [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
        {"instruction": "a", "output": "b"},
    ]
    file.write_text("\n".join(map(json.dumps, rows)))
    assert evaluation_rows(str(file)).rows == [rows[0]] * 3


def test_broken_lines_are_counted_and_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "good"}\n{"text": 5}\nno json\n')
    found = evaluation_rows(str(file))
    assert found.rows == [{"text": "good"}]
    assert [line.split(":")[0] for line in found.broken] == ["rows.jsonl line 2", "rows.jsonl line 3"]


def test_a_folder_gives_all_of_its_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.md").write_text("two")
    (tmp_path / "c.png").write_bytes(b"\0")
    assert [row["text"] for row in calibration_rows(str(tmp_path)).rows] == ["one", "two"]


@pytest.mark.parametrize(
    ("content", "settings", "words"),
    [
        ("Hello there.", CalibrationSettings(), "12 characters, and 512 tokens, which are some 2048 characters"),
        ("word " * 900, CalibrationSettings(samples=4, length=32), "4 samples of 32 tokens are 128 tokens"),
    ],
)
def test_calibration_text_that_is_plainly_too_short_is_refused_before_a_job(
    app: App, tmp_path: Path, content: str, settings: CalibrationSettings, words: str
) -> None:
    (tmp_path / "x.txt").write_text(content)
    with pytest.raises(JobError, match=words):
        app.jobs.resources.texts.check_calibration(str(tmp_path / "x.txt"), settings)
    app.jobs.resources.texts.check_calibration("", CalibrationSettings())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no text"),
        (b"  \n", "holds no text"),
        (b"a\0b", "is not a text file"),
        (None, "There is no text at"),
    ],
)
def test_text_that_is_none_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "x.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(JobError, match=words):
        calibration_rows(str(file))
