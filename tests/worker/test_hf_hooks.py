"""Hooks of extensions change tokens and logits in the Transformers engine. Runs in its environment."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from modules.protocol.commands import Generate
from modules.protocol.sampling import SamplingParams
from modules.worker.hook_host import HookModel
from modules.worker.hook_runner import Hooks

transformers = pytest.importorskip("transformers")

from loaders.transformers.spec import Settings  # noqa: E402
from loaders.transformers.worker import Engine  # noqa: E402
from tests.worker.hf_tiny import write_model  # noqa: E402


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return an engine with a tiny model."""
    folder = tmp_path_factory.mktemp("tiny")
    write_model(folder)
    engine = Engine()
    engine.load(folder, Settings(dtype="float32"), lambda text, fraction: None)
    return engine


def reply(engine: Any, hooks: Hooks | None = None, **params: Any) -> tuple[str, Any]:
    """Generate eight greedy tokens, and return (text, outcome)."""
    engine.hooks = hooks
    request = Generate("1", "The quick brown fox", SamplingParams(max_new_tokens=8, do_sample=False, **params))
    pieces = engine.generate(request, threading.Event())
    text = ""
    while True:
        try:
            text += next(pieces).text
        except StopIteration as end:
            return text, end.value


def hooks_of(tmp_path: Path, code: str) -> Hooks:
    """Return hooks with one extension."""
    (tmp_path / "worker.py").write_text(code)
    faults: list[Any] = []
    hooks = Hooks(faults.append, HookModel(Engine(), lambda: None))
    hooks.configure([{"name": "one", "path": str(tmp_path / "worker.py"), "settings": {}}])
    assert hooks and not faults
    return hooks


def test_a_logits_hook_decides_the_tokens_and_not_the_cached_logits(engine: Any, tmp_path: Path) -> None:
    plain, _ = reply(engine)
    wanted = engine.tokenize("x", False)[-1]
    hooks = hooks_of(tmp_path, f"def logits_modifier(tokens, logits):\n    logits[{wanted}] += 1e6")
    changed, _ = reply(engine, hooks)
    assert changed == "x" * 8 and plain != changed
    assert reply(engine)[0] == plain


def test_a_processor_in_the_style_of_transformers_runs(engine: Any, tmp_path: Path) -> None:
    wanted = engine.tokenize("x", False)[-1]
    code = (
        "from transformers import LogitsProcessor\n"
        "class Push(LogitsProcessor):\n"
        "    def __call__(self, input_ids, scores):\n"
        f"        scores[:, {wanted}] = 1e6\n"
        "        return scores\n"
        "def logits_processor_modifier(processor_list, input_ids):\n"
        "    processor_list.append(Push())\n"
    )
    assert reply(engine, hooks_of(tmp_path, code))[0] == "x" * 8


def test_a_tokenizer_hook_shortens_the_prompt(engine: Any, tmp_path: Path) -> None:
    code = "def tokenizer_modifier(prompt, input_ids, input_embeds):\n    return prompt, input_ids[:, :2], None"
    _, outcome = reply(engine, hooks_of(tmp_path, code))
    assert outcome.prompt_tokens == 2
