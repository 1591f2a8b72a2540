"""Extensions' hooks in the worker, on numpy arrays: what they may change, and what becomes of one that fails."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy
import pytest

from modules.worker.hooks import Hooks


class Worker:
    """Hooks with the faults that they told of."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[tuple[str, ...]] = []
        self.hooks = Hooks(lambda *told: self.faults.append(told))
        self.entries: list[dict[str, Any]] = []

    def add(self, name: str, code: str, kind: str = "worker.py", **settings: Any) -> None:
        """Configure one more extension."""
        path = self.folder / name / kind
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        self.entries.append({"name": name, "path": str(path), "kind": kind, "settings": settings, "packages": ""})
        self.hooks.configure(self.entries)

    def change(self, *logits: float) -> list[float]:
        """What becomes of logits after the tokens [1, 2]."""
        change = self.hooks.logits(lambda: [1, 2], lambda tokens: numpy.array([tokens]))
        values = numpy.array(logits)
        return [float(value) for value in (values if change is None else change(values))]


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """A worker without extensions."""
    return Worker(tmp_path)


def test_without_extensions_nothing_is_called(worker: Worker) -> None:
    assert not worker.hooks and worker.hooks.logits(list, lambda tokens: tokens) is None


def test_a_logits_hook_changes_them_in_place_or_returns_others(worker: Worker) -> None:
    worker.add("last", "def logits_modifier(tokens, logits):\n    logits[tokens[-1]] -= 5")
    assert worker.change(1, 1, 1) == [1, 1, -4]
    worker.add("half", "def logits_modifier(logits, settings):\n    return logits / settings.by", by=2)
    assert worker.change(1, 1, 1) == [0.5, 0.5, -2]


def test_settings_reach_it_without_a_reload(worker: Worker) -> None:
    code = "made = []\ndef logits_modifier(logits, settings):\n    made.append(1)\n    logits += settings.x + len(made)"
    worker.add("count", code, x=1)
    assert worker.change(0) == [2]
    worker.entries[0]["settings"] = {"x": 10}
    worker.hooks.configure(worker.entries)
    assert worker.change(0) == [12]


def test_processors_get_rows_as_transformers_gives_them(worker: Worker) -> None:
    worker.add(
        "rows",
        """
        class Negate:
            def __call__(self, input_ids, scores):
                assert input_ids.shape == (1, 2) and scores.shape[0] == 1
                return -scores
        def logits_processor_modifier(processor_list, input_ids):
            processor_list.append(Negate())
        """,
    )
    assert worker.change(1, 2) == [-1, -2]


def test_a_tokenizer_hook_changes_the_prompt(worker: Worker) -> None:
    code = "def tokenizer_modifier(prompt, input_ids, input_embeds):\n    return prompt, input_ids[:, 1:], None"
    worker.add("cut", code)
    assert worker.hooks.tokens("x", [1, 2, 3], lambda tokens: numpy.array([tokens]), {}) == [2, 3]


@pytest.mark.parametrize(
    "code",
    [
        "def logits_modifier(logits):\n    1 / 0",
        "def logits_modifier(logits):\n    raise SystemExit",
        "def logits_modifier(logits):\n    return logits[:1]",
        "def logits_modifier(logits):\n    return 'no'",
        "def logits_processor_modifier(processor_list, input_ids):\n    processor_list.append(lambda *row: None)",
        "def logits_processor_modifier(processor_list, input_ids):\n    raise ValueError",
    ],
)
def test_one_that_fails_runs_no_more_and_the_others_do(worker: Worker, code: str) -> None:
    worker.add("bad", code)
    worker.add("good", "def logits_modifier(logits):\n    return logits + 1")
    assert worker.change(1, 1) == [2, 2]
    assert worker.change(1, 1) == [2, 2]
    assert [fault[0] for fault in worker.faults] == ["bad"]


def test_one_that_cannot_be_loaded_is_told(worker: Worker) -> None:
    worker.add("broken", "import nothing_of_this_name")
    assert worker.faults[0][:2] == ("broken", "load") and not worker.hooks


def test_a_script_gets_stand_ins_for_what_the_page_has(worker: Worker) -> None:
    worker.add(
        "old",
        """
        import gradio as gr
        import a_package_of_the_host
        from modules import shared
        from modules.text_generation import encode
        params = {"by": 1}
        class Box(gr.Blocks):
            pass
        def ui():
            gr.Slider(0, 1)
        def logits_processor_modifier(processor_list, input_ids):
            processor_list.append(lambda ids, scores: scores * params["by"])
        """,
        "script.py",
        by=3,
    )
    assert worker.faults == [] and worker.change(1, 2) == [3, 6]


def test_a_list_of_processors_that_is_returned_counts(worker: Worker) -> None:
    worker.add(
        "own_list",
        """
        def logits_processor_modifier(processor_list, input_ids):
            return processor_list + [lambda ids, scores: scores * 2]
        """,
        "script.py",
    )
    assert worker.faults == [] and worker.change(1, 2) == [2, 4]


def test_a_file_that_was_agreed_to_again_is_read_again_and_one_that_is_gone_is_forgotten(worker: Worker) -> None:
    worker.add("one", "def logits_modifier(logits):\n    return logits + 1")
    path = Path(worker.entries[0]["path"])
    path.write_text("def logits_modifier(logits):\n    return logits + 2")
    worker.hooks.configure(worker.entries)
    assert worker.change(0) == [1]
    worker.entries[0]["sha256"] = "of the changed file"
    worker.hooks.configure(worker.entries)
    assert worker.change(0) == [2]
    worker.hooks.configure([])
    assert worker.change(0) == [0]
