"""The worker renders the chat templates of GGUF files. llama.cpp's server never runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modules.library.machine import inspect_machine
from modules.protocol.errors import PaddockError
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.contract.under_test import QUESTION, ROOT, UnderTest

DEMO = ROOT / "models" / "demo.Q8_0.gguf"


@pytest.fixture
def loaded(tmp_path: Path) -> Iterator[Callable[[str], UnderTest]]:
    """Return a worker of xllamacpp that loaded the demo model with another chat template."""
    spec = Registry(ROOT / "loaders").get("xllamacpp")
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
    environments.build(spec, lambda text, fraction: print(text))
    started: list[UnderTest] = []

    def load(template: str) -> UnderTest:
        started.append(UnderTest(spec, environments.python(spec)))
        known = _template()
        file = tmp_path / "model.gguf"
        file.write_bytes(DEMO.read_bytes().replace(known, template.encode().ljust(len(known))))
        started[-1].load(file)
        return started[-1]

    yield load
    for under_test in started:
        under_test.client.stop()


def _template() -> bytes:
    """Return the demo model's own chat template."""
    data = DEMO.read_bytes()
    at = data.index(b"tokenizer.chat_template") + len(b"tokenizer.chat_template") + 4
    size = int.from_bytes(data[at : at + 8], "little")
    return data[at + 8 : at + 8 + size]


@pytest.mark.parametrize(
    "template",
    [
        "{% for i in range(1000000000) %}x{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 100000000000 }}",
        "{% for %}",
    ],
)
def test_a_hostile_template_does_not_keep_a_model_from_loading(
    loaded: Callable[[str], UnderTest], template: str
) -> None:
    engine = loaded(template)
    assert engine.info.template.rstrip() == template
    with pytest.raises(PaddockError, match="template"):
        engine.chat(QUESTION)
    assert engine.greedy("GGUF is", max_new_tokens=4)


def test_a_template_that_llama_cpp_cannot_read_is_rendered(loaded: Callable[[str], UnderTest]) -> None:
    engine = loaded("{{ 2**3 }}{% for m in messages %}{{ m.content }}{% endfor %}")
    assert engine.chat("Hello").strip() == "8Hello"
