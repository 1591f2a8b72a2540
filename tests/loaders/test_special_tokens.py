"""Every loader ends a reply at the model's end tokens, shows the markers of reasoning, and prints no padding.

The models generate a fixed text, token by token (tests/support/chain_maker.py).
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.protocol.commands import ChatPrompt
from modules.protocol.errors import ModelError
from modules.protocol.loader_spec import LoaderSpec
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.conftest import ROOT
from tests.contract.under_test import UnderTest
from tests.support.environments import installed, not_here
from tests.support.long_tests import not_asked

LOADERS = ("transformers", "vllm", "llamacpp", "xllamacpp")
# vLLM starts an engine in a separate process for each model. These have end tokens in the model's files, an end token
# that only the template names, and markers that are special tokens.
_VLLM_ALWAYS = ("harmony", "own_end", "opened_special")

PLAIN = ["<s>", "</s>"]
CHAT = (
    "{% for m in messages %}<s>{{ m.role }}:{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant:{% endif %}"
)
THINK = (
    "{% for m in messages %}<s>{{ m.role }}:{{ m.content.split('</think>')[-1] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant:<think>\n{% endif %}"
)
PHI = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
HARMONY = (
    "{% for m in messages %}{% if m.role == 'assistant' and '<|channel|>' in m.content %}"
    "{{ raise_exception('channel tags in the content') }}{% endif %}<|start|>{{ m.role }}"
    "{% if m.thinking %}<|channel|>analysis<|message|>{{ m.thinking }}<|end|><|start|>assistant<|channel|>final"
    "{% endif %}"
    "<|message|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
CHANNELS = ["<s>", "<|return|>", "<|call|>", "<|end|>", "<|start|>", "<|channel|>", "<|message|>"]
ANALYSIS = ["<|channel|>", "analysis", "<|message|>", "Hm", "<|end|>"]

MODELS: dict[str, dict[str, Any]] = {
    "harmony": {
        "say": [*ANALYSIS, "Yes", "<|return|>"],
        "specials": CHANNELS,
        "eos": "<|return|>",
        "generation_eos": ["<|return|>", "<|call|>"],
        "template": HARMONY,
    },
    "harmony_untold": {
        "say": [*ANALYSIS, "Yes", "<|return|>"],
        "specials": CHANNELS,
        "eos": "<|return|>",
        "template": "",
    },
    "phi": {
        "say": ["Yes", "<|end|>", "<|user|>", "more"],
        "specials": ["<s>", "<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"],
        "eos": "<|endoftext|>",
        "template": PHI,
    },
    "phi_untold": {
        "say": ["Yes", "<|end|>", "more"],
        "specials": ["<s>", "<|endoftext|>", "<|end|>"],
        "eos": "<|endoftext|>",
    },
    "own_end": {
        "say": ["Yes", "<|over|>", "more"],
        "specials": [*PLAIN, "<|over|>"],
        "template": PHI.replace("<|end|>", "<|over|>"),
    },
    "magistral": {
        "say": ["[THINK]", "Hm", "[/THINK]", "Yes", "</s>"],
        "specials": [*PLAIN, "[INST]", "[THINK]", "[/THINK]"],
        "template": CHAT,
    },
    "opened": {"say": ["Hm", "</think>", "Yes", "</s>"], "specials": PLAIN, "template": THINK},
    "opened_special": {
        "say": ["Hm", "</think>", "Yes", "</s>"],
        "specials": [*PLAIN, "<think>", "</think>"],
        "template": THINK,
    },
    "padded": {"say": ["Yes", "[PAD516]", "<unused7>", "!", "</s>"], "specials": PLAIN, "template": CHAT},
    "poisoned": {"say": ["Yes", "</s>"], "specials": PLAIN, "template": CHAT, "poison": True},
}
# Name -> the text that a chat shows.
SHOWN = {
    "harmony": "<|channel|>analysis<|message|>Hm<|end|>Yes",
    "harmony_untold": "<|channel|>analysis<|message|>Hm<|end|>Yes",
    "phi": "Yes",
    "phi_untold": "Yes",
    "own_end": "Yes",
    "magistral": "[THINK]Hm[/THINK]Yes",
    "opened": "<think>\nHm</think>Yes",
    "opened_special": "<think>\nHm</think>Yes",
    "padded": "Yes!",
}
QUESTION = {"role": "user", "content": "What is it?"}


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, environments: Environments) -> Path:
    """A folder with the models, as folders and as GGUF."""
    maker = Registry(ROOT / "loaders").get("transformers")
    if reason := not_here(maker, environments):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("chains")
    (folder / "models.json").write_text(json.dumps(MODELS))
    script = ROOT / "tests" / "support" / "chain_maker.py"
    command = [str(installed(maker, environments)), str(script), str(folder), str(folder / "models.json")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module", params=LOADERS)
def workers(request: pytest.FixtureRequest, environments: Environments) -> Iterator[Callable[[], UnderTest]]:
    """Return a function that returns a worker of each loader in turn. It starts a new one if the last has died."""
    spec: LoaderSpec = Registry(ROOT / "loaders").get(request.param)
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    python = installed(spec, environments)
    started: list[UnderTest] = []

    def worker() -> UnderTest:
        if started and started[-1].exits:
            started.pop().client.stop()
        if not started:
            started.append(UnderTest(spec, python))
        return started[-1]

    yield worker
    for last in started:
        last.client.stop()


@pytest.fixture
def worker(workers: Callable[[], UnderTest]) -> UnderTest:
    """Return a worker of each loader in turn that can load one of the models."""
    return workers()


def load(worker: UnderTest, models: Path, name: str) -> None:
    """Load one of the models in the worker's format."""
    worker.load(models / (name if worker.spec.formats[0] == "safetensors" else f"{name}.gguf"), context=256)


@pytest.mark.parametrize("name", SHOWN)
def test_a_reply_ends_at_the_end_token_and_shows_reasoning_markers(worker: UnderTest, models: Path, name: str) -> None:
    if worker.spec.name == "vllm" and name not in _VLLM_ALWAYS and (reason := not_asked()):
        pytest.skip(f"vllm: {reason}")
    load(worker, models, name)
    rendered = worker.ask(ChatPrompt, [QUESTION])
    text, end = worker.generate(rendered["prompt"], do_sample=False, max_new_tokens=12)
    assert rendered["opening"] + text == SHOWN[name]
    assert end.reason == "stop"
    # The next turn contains the reply as it was shown.
    again = worker.ask(ChatPrompt, [QUESTION, {"role": "assistant", "content": SHOWN[name]}, QUESTION])
    assert "Yes" in again["prompt"]
    assert again["opening"] == rendered["opening"]


def test_nan_weights_are_an_error(worker: UnderTest, models: Path) -> None:
    with pytest.raises(ModelError, match="NaN"):
        load(worker, models, "poisoned")
        worker.generate(worker.chat("Hi"), max_new_tokens=4)
