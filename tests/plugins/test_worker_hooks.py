"""An extension's worker.py in a real worker: settings arrive, faults are reported, and unsupported loaders skip it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator

import pytest

from modules.cli.application import build_app
from modules.plugins.extension_overview import extension_statuses
from modules.protocol.sampling import SamplingParams
from modules.settings.config import Config
from tests.conftest import ROOT
from tests.plugins.conftest import PATIENCE, Talk
from tests.plugins.test_docs import switch_on
from tests.support.environments import installed, not_here

BIAS = """
def logits_modifier(tokens, logits, settings):
    for token in settings.tokens:
        logits[int(token)] = 1e6
"""
SETTINGS = "settings: {tokens: {default: [], type: list, label: Tokens}}"
MODELS = {"llamacpp": "demo.Q8_0.gguf", "transformers": "demo"}


@pytest.fixture(params=sorted(MODELS))
def real(request: pytest.FixtureRequest, config: Config) -> Iterator[Talk]:
    """Return an App with the demo model in a loader that supports hooks."""
    app = build_app(config)
    name = MODELS[request.param]
    if not (ROOT / "models" / name).exists():
        pytest.skip("the demo model is not there")
    if reason := not_here(app.registry.get(request.param), app.environments):
        pytest.skip(reason)
    installed(app.registry.get(request.param), app.environments)
    assert config.models is not None
    copy = shutil.copytree if (ROOT / "models" / name).is_dir() else shutil.copy
    copy(ROOT / "models" / name, config.models / name)
    app.models.load(name, request.param, {"context": 256})
    yield Talk(app)
    app.close()


def test_settings_reach_the_worker_and_decide_its_tokens(real: Talk) -> None:
    real.add("bias", "", SETTINGS, worker_py=BIAS)
    token = real.app.supervisor.tokenize(" the")[-1]
    word = real.app.supervisor.detokenize([token]).strip()
    plain = real.ask("Hello", max_new_tokens=4)[-1].text
    real.manager.configure("bias", {"tokens": [str(token)]})
    assert real.ask("Hello", max_new_tokens=4)[-1].text.replace(" ", "") == word * 4 != plain
    real.manager.disable("bias")
    assert real.ask("Hello", max_new_tokens=4, do_sample=False)[-1].text.replace(" ", "") != word * 4


def test_a_model_beside_the_pages_own_runs_the_hooks_too(real: Talk) -> None:
    app = real.app
    models, state = app.paths.models, app.supervisor.state
    second = f"second-{state.model}"
    copy = shutil.copytree if (models / state.model).is_dir() else shutil.copy
    copy(models / state.model, models / second)
    real.add("bias", "", SETTINGS, worker_py=BIAS)
    app.on_request.load_beside(second, state.loader, {"context": 256})
    (beside,) = app.pool.others
    token = beside.supervisor.tokenize(" the")[-1]
    word = beside.supervisor.detokenize([token]).strip()

    def said() -> str:
        generation = beside.supervisor.generate("Hello", SamplingParams(max_new_tokens=4))
        assert generation.wait(PATIENCE)
        return generation.text.replace(" ", "")

    assert said() != word * 4
    real.manager.configure("bias", {"tokens": [str(token)]})
    assert said() == word * 4


def test_long_replies_do_not_end_early(real: Talk) -> None:
    plain = real.ask("Hello", max_new_tokens=60, do_sample=False)[-1].meta
    assert plain["reason"] == "stop"
    real.manager.enable("long_replies")
    real.manager.configure("long_replies", {"least": plain["generated_tokens"] + 10})
    longer = real.ask("Hello", max_new_tokens=100, do_sample=False)[-1].meta
    assert longer["generated_tokens"] > plain["generated_tokens"] + 9


def test_a_fault_in_the_worker_switches_it_off_here(real: Talk) -> None:
    real.add("bad", "", worker_py="def logits_modifier(logits):\n    raise ValueError('out of tune')")
    failed = threading.Event()
    end = real.manager.subscribe(lambda: failed.set() if real.manager.failures.get("bad") else None)
    assert real.ask("Hello", max_new_tokens=4, ban_eos_token=True)[-1].meta["generated_tokens"] == 4
    assert failed.wait(PATIENCE)
    end()
    status = next(status for status in extension_statuses(real.manager) if status.name == "bad")
    assert status.state == "failed" and "ValueError: out of tune" in status.message and "Traceback" in status.detail


def test_a_load_brings_the_hooks_of_those_that_are_on(real: Talk) -> None:
    real.add("bias", "", SETTINGS, worker_py=BIAS)
    token = real.app.supervisor.tokenize(" the")[-1]
    real.manager.configure("bias", {"tokens": [str(token)]})
    state = real.app.supervisor.state
    real.app.models.load(state.model, state.loader, {"context": 256})
    word = real.app.supervisor.detokenize([token]).strip()
    assert real.ask("Hello", max_new_tokens=3)[-1].text.replace(" ", "") == word * 3


def test_the_status_names_extensions_that_the_loader_does_not_support(talk: Talk) -> None:
    talk.add("bias", "", SETTINGS, worker_py=BIAS)
    status = next(status for status in extension_statuses(talk.manager) if status.name == "bias")
    assert status.state == "on" and status.hooks == ("logits_modifier",)
    assert "are idle" in status.notes[0] and "Transformers" in status.notes[0]
    assert talk.ask("hello there")[-1].text == "hello there"


SCRIPT = """
from modules import shared
params = {"tokens": [], "replies": 0}
class Watch:
    def __call__(self, input_ids, scores):
        params["tokens"].append(shared.tokenizer.decode(int(scores[0].argmax())))
        return scores
def logits_processor_modifier(processor_list, input_ids):
    params["replies"] += 1
    params["tokens"] = []
    print("prompt of", len(shared.tokenizer.encode("Hello there", add_special_tokens=False)), "tokens and more")
    processor_list.append(Watch())
def output_modifier(string):
    return string + " |" + "".join(params["tokens"])
"""


def test_a_scripts_hooks_in_the_worker_have_the_tokenizer_and_give_back_what_they_collect(real: Talk) -> None:
    folder = real.root / "watch"
    folder.mkdir(parents=True)
    (folder / "script.py").write_text(SCRIPT)
    real.manager.enable("watch", real.manager.find("watch").sha256)
    reply = real.ask("Hello", max_new_tokens=5, do_sample=False)[-1]
    text, _, seen = reply.text.partition(" |")
    assert text and seen.strip().startswith(text.strip())
    running = real.manager.running.get("watch")
    assert running is not None and running.plugin.params["replies"] == 1
    count = len(real.app.supervisor.tokenize("Hello there"))
    assert running.output.text == f"prompt of {count} tokens and more\n"
    real.ask("Hello", max_new_tokens=2)
    assert running.plugin.params["replies"] == 2


STORED = """
def tokenizer_modifier(prompt, input_ids, input_embeds, host):
    host.store["length"] = int(input_ids.shape[1])
    host.store["word"] = host.tokenizer.decode(host.tokenizer.encode(host.store["ask"], add_special_tokens=False))
    return prompt, input_ids, input_embeds
"""
ASKING = """
def state_modifier(state, host):
    host.store["ask"] = "some words"
def output_modifier(string, host):
    return f"{host.store['length']} {host.store['word']}"
"""


def test_both_sides_of_an_extension_share_values(real: Talk) -> None:
    real.add("both", ASKING, worker_py=STORED)
    reply = real.ask("Hello", max_new_tokens=2)[-1]
    assert reply.text == f"{reply.meta['prompt_tokens']} some words"


def test_a_client_can_disable_extensions_in_the_worker(real: Talk) -> None:
    real.add("bias", "", SETTINGS, worker_py=BIAS)
    token = real.app.supervisor.tokenize(" the")[-1]
    real.manager.configure("bias", {"tokens": [str(token)]})
    params = SamplingParams(max_new_tokens=4, do_sample=False)
    generate = real.app.supervisor.generate
    texts = ["".join(generate("Hello", params, hooks=hooks).follow()) for hooks in (True, False)]
    word = real.app.supervisor.detokenize([token]).strip()
    assert texts[0].replace(" ", "") == word * 4 != texts[1].replace(" ", "")


def test_the_example_of_the_docs_counts_a_prompts_tokens_in_the_worker(real: Talk) -> None:
    switch_on(real, "counter")
    reply = real.ask("Hello", max_new_tokens=2)[-1]
    assert reply.text.endswith(f"(a prompt of {reply.meta['prompt_tokens']} tokens)")
    running = real.manager.running.get("counter")
    assert running is not None
    assert running.output.text == f"read a prompt of {reply.meta['prompt_tokens']} tokens for You\n"
    assert running.host.store["end"]
