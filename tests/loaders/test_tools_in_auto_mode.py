"""A model in a real engine that may call tools, and is not made to: it calls, gets the result, and answers.

The models decide by the last token of the prompt (tests/support/chain_maker.py), which their templates choose: with
tools they write a call, and after a result, or without tools, an answer.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.chat.messages import ChatOptions, Message
from modules.cli.application import build_app
from modules.plugins.tools.calculate import CALCULATE
from modules.protocol.sampling import SamplingParams
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.settings.config import Config
from tests.chat.conftest import PATIENCE
from tests.chat.test_tool_loop import call
from tests.conftest import ROOT
from tests.support.environments import installed, not_here

# Whole engines.
pytestmark = pytest.mark.slow
ASK, AFTER = "<|ask|>", "<|after|>"
CALL = call("calculate", expression="6*7")
_MESSAGES = "{% for m in messages %}<s>{{ m.role }}:{{ m.content }}</s>{% endfor %}"
_NEXT = "{% if add_generation_prompt %}<s>assistant:{% if CALLS %}<|ask|>{% else %}<|after|>{% endif %}{% endif %}"
_READS = (
    "{% if tools %}{{ tools | tojson }}{% endif %}"
    "{% for m in messages %}<s>{{ m.role }}:{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>"
    "{{ c.function | tojson }}</tool_call>{% endfor %}</s>{% endfor %}"
)
TEMPLATES = {
    "reads_tools": _READS + _NEXT.replace("CALLS", "tools and messages[-1].role != 'tool'"),
    "reads_no_tools": _MESSAGES
    + _NEXT.replace("CALLS", "'calculate' in messages[0].content and '<tool_response>' not in messages[-1].content"),
}
GREEDY = SamplingParams(do_sample=False, max_new_tokens=60)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, environments: Environments) -> Path:
    """Return a folder with a model for each template."""
    maker = Registry(ROOT / "loaders").get("transformers")
    if reason := not_here(maker, environments):
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("callers")
    specials = ["<s>", "</s>", ASK, AFTER]
    options: dict[str, Any] = {
        name: {
            "say": [ASK, CALL, "</s>", AFTER, "It is 42.", "</s>"],
            "specials": specials,
            "template": template,
        }
        for name, template in TEMPLATES.items()
    }
    (folder / "models.json").write_text(json.dumps(options))
    script = ROOT / "tests" / "support" / "chain_maker.py"
    command = [str(installed(maker, environments)), str(script), str(folder), str(folder / "models.json")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(params=["xllamacpp", "transformers"])
def app(request: pytest.FixtureRequest, models: Path, tmp_path: Path, environments: Environments) -> Iterator[App]:
    """Return an App whose environments have the loader. `request.param`: the loader."""
    app = build_app(Config(ROOT, port=0, models=models, user_data=tmp_path / "user_data"))
    try:
        spec = app.registry.get(request.param)
        if reason := not_here(spec, environments):
            pytest.skip(reason)
        installed(spec, environments)
        yield app
    finally:
        app.close()


def reply(app: App, question: str, *, tools: bool) -> Message:
    """Return the reply in a new chat once it is complete. `tools`: the tool calculate is on, and allowed."""
    chat = app.chats.create().id
    app.toolbox.choices.switch(chat, CALCULATE.key, tools)
    app.toolbox.choices.allow(chat, CALCULATE.key)
    changed = threading.Event()
    end = app.chats.subscribe(chat, changed.set)
    app.chats.send(chat, question, GREEDY, ChatOptions())
    while app.chats.live_reply(chat):
        assert changed.wait(PATIENCE), "no change came"
        changed.clear()
    end()
    return app.chats.messages(chat)[-1]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_model_that_may_call_tools_calls_them_and_answers(app: App, request: Any, template: str) -> None:
    loader = request.node.callspec.params["app"]
    app.models.load(f"{template}.gguf" if loader == "xllamacpp" else template, loader)
    found = reply(app, "How much is 6*7?", tools=True)
    assert [(part.kind, part.text.strip()) for part in found.parts] == [
        ("tool_call", '{"expression": "6*7"}'),
        ("tool_result", "42"),
        ("text", "It is 42."),
    ], found
    found = reply(app, "How much is 6*7?", tools=False)
    assert [(part.kind, part.text.strip()) for part in found.parts] == [("text", "It is 42.")], found
