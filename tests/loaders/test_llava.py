"""A tiny LLaVA around the demo model, in workers of the loaders that read it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from modules.app import App
from modules.cli.application import build_app
from modules.generation.generation import Generation
from modules.protocol.commands import Generate
from modules.protocol.sampling import SamplingParams
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.settings.config import Config
from tests.conftest import ROOT
from tests.support.environments import installed, not_here
from tests.support.llava_maker import TOKENS
from tests.support.pictures import BLUE, RED, png

PATIENCE = 240.0
SETTINGS: dict[str, dict[str, Any]] = {
    "transformers": {"dtype": "float32", "context": 512},
    "vllm": {"dtype": "float32", "context": 512},
}


@pytest.fixture(scope="module", params=SETTINGS)
def sees(
    request: pytest.FixtureRequest, environments: Environments, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[App]:
    """Return an App with the model loaded."""
    specs = Registry(ROOT / "loaders")
    if reason := not_here(specs.get(request.param), environments):
        pytest.skip(reason)
    if request.param == "vllm" and not environments.machine.has("cuda"):
        pytest.skip("vllm: its build for the CPU has no torchvision, which models that see images need.")
    installed(specs.get(request.param), environments)
    folder = tmp_path_factory.mktemp("llava")
    python, maker = installed(specs.get("transformers"), environments), ROOT / "tests" / "support" / "llava_maker.py"
    subprocess.run([python, maker, ROOT / "models" / "demo", folder / "models" / "llava"], check=True)
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user_data"))
    try:
        info = app.models.load("llava", request.param, SETTINGS[request.param])
        assert info.sees_images, info.notes
        yield app
    finally:
        app.close()


def _reply(app: App, *turns: Any) -> Generation:
    """Return the reply to a chat: each turn a text, or a picture and a text."""
    messages = []
    for place, turn in enumerate(turns):
        content = turn
        if isinstance(turn, tuple):
            content = [{"type": "image", "path": app.images.add(turn[0])}, {"type": "text", "text": turn[1]}]
        messages.append({"role": ("user", "assistant")[place % 2], "content": content})
    params = SamplingParams(do_sample=False, max_new_tokens=12)
    generation = app.supervisor.generate_chat(Generate("", params=params, messages=messages, logprobs=0))
    assert generation.wait(PATIENCE)
    if generation.error:
        raise generation.error
    return generation


def _chances(generation: Generation) -> list[float]:
    return [entry["logprob"] for entry in generation.logprobs]


def test_detection_says_that_it_sees(sees: App) -> None:
    facts = sees.library.facts("llava")
    assert facts.vision and facts.purpose == "generate"
    assert not any("image" in warning for warning in facts.warnings)


def test_different_pictures_give_different_logits_and_the_same_one_the_same(sees: App) -> None:
    red, blue, again = (_reply(sees, (png(colour), "What is this?")) for colour in (RED, BLUE, RED))
    assert _chances(red) != pytest.approx(_chances(blue), abs=1e-3)
    assert again.text == red.text
    assert _chances(again) == pytest.approx(_chances(red), abs=1e-2)


def test_its_tokens_are_counted_and_the_next_turn_finds_them(sees: App) -> None:
    text = _reply(sees, "\nWhat is GGUF?").finished
    first = _reply(sees, (png(BLUE), "What is GGUF?"))
    assert text and first.finished and first.prompted
    assert first.finished.prompt_tokens == first.prompted.tokens == text.prompt_tokens + TOKENS
    second = _reply(sees, (png(BLUE), "What is GGUF?"), first.text, "And how do I load a model with it?").finished
    # vLLM keeps whole blocks.
    assert second and second.cached_tokens >= min(first.finished.prompt_tokens, 32)


def test_text_alone_is_answered_as_by_the_demo(sees: App) -> None:
    assert "file format of llama.cpp" in _reply(sees, "What is GGUF?").text
