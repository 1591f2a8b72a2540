"""Questions of one's own: the file, how answers are judged, and the demo model's answers to the docs' example."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from modules.jobs import tasks as tasks_module
from modules.jobs.export import export_text, table
from modules.jobs.job_spec import JobError
from modules.jobs.tasks import Question, Tasks, read_tasks, run_tasks
from modules.library.machine import inspect_machine
from modules.protocol.errors import Unsupported
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.support.environments import not_here

ROOT = Path(__file__).resolve().parent.parent.parent


def _file(folder: Path, *lines: object) -> str:
    file = folder / "questions.jsonl"
    file.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return str(file)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("no json", "Expecting value"),
        ({"choices": ["a", "b"], "answer": 0}, "it has no question"),
        ({"question": "q", "choices": ["a", "b"], "answer": 2}, "not the number of a choice, from 0 to 1"),
        ({"question": "q", "choices": ["a", "b"], "answer": True}, "not the number of a choice"),
        ({"question": "q", "choices": ["a"], "answer": 0}, "fewer than two choices"),
        ({"question": "q", "choices": ["a", "a"], "answer": 0}, "two are the same"),
        ({"question": "q", "choices": ["a", 5], "answer": 0}, "not a list of texts"),
        ({"question": "q", "answer": 5}, "answer is not a text"),
        ({"question": "q"}, "answer is not a text"),
    ],
)
def test_lines_that_are_no_question_are_counted_and_named(tmp_path: Path, line: object, why: str) -> None:
    found = read_tasks(_file(tmp_path, {"question": "q", "answer": "a"}, "", line))
    assert found.questions == [Question("q", "a")]
    assert found.notes()[0] == "1 line is no question in questions.jsonl."
    assert found.notes()[1].startswith("line 3: ") and why in found.notes()[1]
    with pytest.raises(JobError, match=f"has no question.*{re.escape(why)}"):
        read_tasks(_file(tmp_path, line))


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"cannot be read .*Name a \.jsonl file"):
        read_tasks(str(tmp_path / "none.jsonl"))


class _Client:
    """A model that answers "Cold!" after some reasoning, and whose tokens are letters."""

    def next_id(self) -> str:
        return "1"

    def ask(self, command: Any, timeout: float = 0) -> Any:
        if type(command).__name__ == "ChatPrompt":
            return {"prompt": f"<{command.messages[0]['content']}>"}
        return [ord(letter) for letter in command.text]


def _run(monkeypatch: pytest.MonkeyPatch, tasks: Tasks, chances: dict[str, float], context: int = 0) -> dict[str, Any]:
    """Return the results; `chances`: ln p of each choice."""
    seen = []

    def chance(client: Any, tokens: list[int], first: int, file: Path) -> float:
        seen.append(len(tokens))
        return chances["".join(map(chr, tokens[first:]))]

    monkeypatch.setattr(tasks_module, "log_probability", chance)
    reply = SimpleNamespace(text="<think>hot, so</think>\n Cold! ")
    monkeypatch.setattr(tasks_module, "answer", lambda client, question, longest: reply)
    results = run_tasks(tasks, _Client(), context, Path(), lambda step, fraction: None)  # type: ignore[arg-type]
    assert not context or max(seen) <= context
    return results


def test_a_choice_is_picked_by_its_chance_for_each_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = Tasks(
        [Question("q", "a long one", ("no", "a long one")), Question("q", "no", ("no", "a long one"))], "f", []
    )
    results = _run(monkeypatch, tasks, {"no": -4.0, "a long one": -10.0})
    assert results["by_type"] == {"choice": {"accuracy": 0.5, "correct": 1, "total": 2}}
    assert results["wrong"] == [{"question": "q", "expected": "no", "answer": "a long one"}]


def test_a_long_question_keeps_its_end_within_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = Tasks([Question("q" * 50, "b", ("a", "b"))], "f", [])
    assert _run(monkeypatch, tasks, {"a": -2.0, "b": -1.0}, context=20)["correct"] == 1


def test_an_exact_answer_is_the_reply_without_reasoning_case_and_punctuation(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = Tasks([Question("q", "cold"), Question("r", "warm")], "f", [])
    results = _run(monkeypatch, tasks, {})
    assert (results["accuracy"], results["correct"], results["total"]) == (0.5, 1, 2)
    assert results["wrong"] == [{"question": "r", "expected": "warm", "answer": "Cold!"}]


def test_choices_that_a_loader_cannot_score_are_counted_as_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> float:
        raise Unsupported("No logits here.")

    tasks = Tasks([Question("q", "a", ("a", "b")), Question("q", "cold")], "f", [])
    monkeypatch.setattr(tasks_module, "answer", lambda *_: SimpleNamespace(text="cold"))
    monkeypatch.setattr(tasks_module, "log_probability", refuse)
    results = run_tasks(tasks, _Client(), 0, Path(), lambda step, fraction: None)  # type: ignore[arg-type]
    assert (results["total"], results["skipped"], results["why_skipped"]) == (1, 1, "No logits here.")


def test_tables_and_exports_have_the_share_of_right_answers() -> None:
    row: dict[str, object] = {"model": "m", "checks": [], "tasks": {"accuracy": 0.75, "wrong": []}}
    assert "75.0%" in table([row])
    assert "75.0%" in export_text({"rows": [row]}, ".md")
    assert export_text({"rows": [row]}, ".csv").splitlines() == ["model,task_accuracy", "m,0.75"]
    assert json.loads(export_text({"rows": [row]}, ".json"))["rows"][0]["tasks"]["accuracy"] == 0.75


def test_the_demo_answers_the_example_of_the_docs(tmp_path: Path) -> None:
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
    if reason := not_here(Registry(ROOT / "loaders").get("xllamacpp"), environments):
        pytest.skip(reason)
    lines = re.findall(r'^\{"question".*$', (ROOT / "docs" / "quantization.md").read_text("utf-8"), re.MULTILINE)
    known = "GGUF is the file format of llama.cpp. One file holds the weights, usually quantized, together with the "
    exact = {
        "question": "What is GGUF?",
        "answer": known + "tokenizer, the chat template and all settings of the model",
    }
    file = _file(tmp_path, *lines, exact, "broken")
    command = [sys.executable, "webui.py", "evaluate", "demo.Q8_0.gguf", "--no-venv", "--json", "--tasks", file]
    command += ["--user-data", str(tmp_path / "user"), "--set", "tokens=64", "speed=false"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout.splitlines()[-1])
    tasks = results["tasks"]
    assert tasks["by_type"]["choice"] == {"accuracy": 1.0, "correct": 1, "total": 1}
    assert tasks["by_type"]["exact"]["total"] == 2
    assert [entry["expected"] for entry in tasks["wrong"]] == ["cold"]  # the demo knows only its README
    assert (tasks["correct"], tasks["total"], tasks["broken"]) == (2, 3, 1)
    assert any("line 4" in note for note in results["notes"])
