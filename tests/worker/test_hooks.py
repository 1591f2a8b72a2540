"""Hooks of extensions in the worker, on numpy arrays: what they can change, and what happens after a fault."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy
import pytest

from modules.protocol.errors import PaddockError
from modules.protocol.events import HookEvent, HookFailed, HookPrinted, HookStored, ModelInfo
from modules.system.shared_values import SharedValues
from modules.worker.engine import EngineBase
from modules.worker.hook_host import HookModel
from modules.worker.hook_runner import Hooks


class _Engine(EngineBase):
    """A tokenizer with one token per character: its code point. BOS is 1."""

    def load(self, path: Path, settings: Any, report: Any) -> ModelInfo:
        raise NotImplementedError

    def generate(self, request: Any, cancelled: Any) -> Any:
        raise NotImplementedError

    def tokenize(self, text: str, special: bool) -> list[int]:
        known = {"<s>": [1], "</s>": [2]}
        return ([1] if special else []) + (known.get(text) or [ord(letter) for letter in text])

    def detokenize(self, tokens: list[int]) -> str:
        return "".join({1: "<s>", 2: "</s>"}.get(token) or chr(token) for token in tokens)


class Worker:
    """Hooks, with the events that they sent."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[tuple[str, ...]] = []
        self.events: list[HookEvent] = []
        self.engine = _Engine()
        self.hooks = Hooks(self._hear, HookModel(self.engine, lambda: ModelInfo(8, bos="<s>", eos="</s>")))
        self.entries: list[dict[str, Any]] = []

    def _hear(self, event: HookEvent) -> None:
        self.events.append(event)
        if isinstance(event, HookFailed):
            self.faults.append((event.extension, event.hook, event.message, event.detail))

    def printed(self, name: str) -> str:
        """Return the output of an extension that was sent to the host."""
        self.hooks.flush()
        printed = [event for event in self.events if isinstance(event, HookPrinted)]
        return "".join(event.text for event in printed if event.extension == name)

    def stored(self, name: str) -> dict[str, Any]:
        """Return the values that were sent to the host."""
        self.hooks.flush()
        stored = [event for event in self.events if isinstance(event, HookStored) and event.extension == name]
        return {key: value for event in stored for key, value in event.values.items()}

    def add(self, name: str, code: str, kind: str = "worker.py", **settings: Any) -> None:
        """Add an extension and configure all."""
        path = self.folder / name / kind
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(code))
        self.entries.append({"name": name, "path": str(path), "kind": kind, "settings": settings, "packages": ""})
        self.hooks.configure(self.entries)

    def change(self, *logits: float) -> list[float]:
        """Return the logits after the hooks, with the tokens [1, 2] before them."""
        change = self.hooks.logits(lambda: [1, 2], lambda tokens: numpy.array([tokens]))
        values = numpy.array(logits)
        return [float(value) for value in (values if change is None else change(values))]


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    """Return a worker without extensions."""
    return Worker(tmp_path)


def test_without_extensions_nothing_is_called(worker: Worker) -> None:
    assert not worker.hooks and worker.hooks.logits(list, lambda tokens: tokens) is None


def test_a_logits_hook_changes_logits_in_place_or_returns_new_ones(worker: Worker) -> None:
    worker.add("last", "def logits_modifier(tokens, logits):\n    logits[tokens[-1]] -= 5")
    assert worker.change(1, 1, 1) == [1, 1, -4]
    worker.add("half", "def logits_modifier(logits, settings):\n    return logits / settings.by", by=2)
    assert worker.change(1, 1, 1) == [0.5, 0.5, -2]


def test_worker_settings_change_without_a_reload(worker: Worker) -> None:
    code = "made = []\ndef logits_modifier(logits, settings):\n    made.append(1)\n    logits += settings.x + len(made)"
    worker.add("count", code, x=1)
    assert worker.change(0) == [2]
    worker.entries[0]["settings"] = {"x": 10}
    worker.hooks.configure(worker.entries)
    assert worker.change(0) == [12]


def test_processors_get_rows_as_in_transformers(worker: Worker) -> None:
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
def test_a_failed_extension_stops_and_the_others_run(worker: Worker, code: str) -> None:
    worker.add("bad", code)
    worker.add("good", "def logits_modifier(logits):\n    return logits + 1")
    assert worker.change(1, 1) == [2, 2]
    assert worker.change(1, 1) == [2, 2]
    assert [fault[0] for fault in worker.faults] == ["bad"]


def test_an_extension_that_cannot_be_loaded_is_reported(worker: Worker) -> None:
    worker.add("broken", "import nothing_of_this_name")
    assert worker.faults[0][:2] == ("broken", "load") and not worker.hooks


def test_a_script_gets_stubs_for_modules_of_the_page(worker: Worker) -> None:
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


def test_a_returned_list_of_processors_is_used(worker: Worker) -> None:
    worker.add(
        "own_list",
        """
        def logits_processor_modifier(processor_list, input_ids):
            return processor_list + [lambda ids, scores: scores * 2]
        """,
        "script.py",
    )
    assert worker.faults == [] and worker.change(1, 2) == [2, 4]


def test_a_changed_file_is_loaded_again_after_consent_and_a_removed_one_is_dropped(worker: Worker) -> None:
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


_SCRIPT = """
from modules import shared
import modules.shared as again
from modules.text_generation import encode, decode, get_encoded_length
from modules.logging_colors import logger
params = {"found": [], "count": 0, "host": 5}
def tokenizer_modifier(state, prompt, input_ids, input_embeds):
    assert again is shared and not shared.args
    print("read", shared.tokenizer.decode(input_ids[0]), decode(encode("hi")), get_encoded_length("hi"))
    logger.info("a line of the log")
    params["found"] = [shared.tokenizer.eos_token_id, shared.tokenizer.encode("a", add_special_tokens=False)[0]]
    params["count"] += 1
    return prompt, input_ids, input_embeds
"""


def test_a_script_in_the_worker_has_the_tokenizer_and_returns_prints_and_params(worker: Worker) -> None:
    worker.add("mine", _SCRIPT, "script.py", host=7)
    worker.hooks.tokens("hi", [104, 105], lambda tokens: numpy.array([tokens]), {})
    assert worker.faults == []
    assert worker.printed("mine") == "read hi <s>hi 3\nINFO     a line of the log\n"
    assert worker.stored("mine") == {"found": [2, 97], "count": 1}
    worker.hooks.tokens("hi", [104], lambda tokens: numpy.array([tokens]), {})
    assert worker.stored("mine")["count"] == 2


def test_an_older_value_of_the_host_does_not_replace_a_scripts_newer_one(worker: Worker) -> None:
    code = "params = {'n': 0}\ndef logits_processor_modifier(processors, ids):\n    params['n'] += 10"
    worker.add("mine", code, "script.py", n=1)
    worker.change(0)
    worker.hooks.configure(worker.entries)
    worker.change(0)
    assert worker.stored("mine") == {"n": 21}
    worker.entries[0]["settings"] = {"n": 5}
    worker.hooks.configure(worker.entries)
    worker.change(0)
    assert worker.stored("mine") == {"n": 15}


def test_host_has_the_tokenizer_and_the_shared_values(worker: Worker) -> None:
    code = """
        def logits_modifier(tokens, logits, host):
            print("seen", host.tokenizer.decode(tokens), host.store.get("ask"))
            host.store["last"] = [host.name, host.tokenizer.convert_tokens_to_ids("</s>")]
            host.store.pop("ask", None)
        """
    worker.add("mine", code)
    worker.entries[0]["store"] = {"ask": [1, "host", {"a": 1}]}
    worker.hooks.configure(worker.entries)
    worker.change(0)
    assert worker.stored("mine") == {"last": ["mine", 2], "ask": None}
    # The host does not have the new value yet. Its older value must not replace it.
    worker.hooks.configure(worker.entries)
    worker.change(0)
    assert worker.printed("mine") == "seen <s></s> {'a': 1}\nseen <s></s> None\n"


def test_output_of_each_extension_is_collected_separately(worker: Worker, capsys: pytest.CaptureFixture[str]) -> None:
    code = """
        print('loaded')
        def logits_processor_modifier(processor_list):
            processor_list.append(lambda ids, scores: print('p') or scores)
        """
    worker.add("one", code)
    worker.add("other", "def logits_modifier(logits):\n    import sys\n    print('o', file=sys.stderr)")
    worker.change(0)
    assert (worker.printed("one"), worker.printed("other")) == ("loaded\np\n", "o\n")
    print("the engine's")
    assert capsys.readouterr().out.endswith("the engine's\n")


def test_a_missing_service_fails_the_reply_and_the_extension_stays_enabled(worker: Worker) -> None:
    worker.add("lookup", "def tokenizer_modifier(prompt):\n    raise ConnectionError('gone')")
    worker.add("late", "def logits_modifier(logits):\n    raise TimeoutError")
    with pytest.raises(PaddockError, match=r"lookup could not do its part \(tokenizer_modifier\)"):
        worker.hooks.tokens("hi", [1], lambda tokens: numpy.array([tokens]), {})
    with pytest.raises(PaddockError, match="late could not do its part"):
        worker.change(0)
    assert worker.faults == [] and worker.hooks


@pytest.mark.parametrize(("value", "error"), [({1, 2}, TypeError), ("x" * 300_000, ValueError)])
def test_values_that_cannot_be_shared_are_refused(value: Any, error: type[Exception]) -> None:
    store = SharedValues("here")
    store["kept"] = 1
    with pytest.raises(error):
        store["bad"] = value
    assert dict(store) == {"kept": 1}
    with pytest.raises(KeyError):
        del store["bad"]
