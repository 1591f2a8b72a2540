"""Chats on real engines: calls of tools that a grammar forces, and thinking with its switch, effort and budget."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from modules.chat import forced_calls
from modules.chat.characters import Characters
from modules.chat.messages import ChatOptions, Message
from modules.chat.parts import REASONING, TEXT, TOOL_CALL, TOOL_RESULT, reasoning_text
from modules.chat.service import ChatService
from modules.chat.store import ChatStore
from modules.library.scan import ModelLibrary
from modules.plugins.tools.tool import Tool
from modules.plugins.tools.tool_choices import ToolChoices
from modules.plugins.tools.toolbox import ShippedTools, Toolbox
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build
from modules.runtime.environment import Environments
from modules.runtime.load_request import LoadRequest
from modules.runtime.supervisor import Supervisor
from modules.settings.user_settings import YamlStore
from tests.contract.under_test import ROOT, demo_model
from tests.support.environments import installed, not_here

_SECONDS = 120.0
# The other loaders share code with one of these.
_ENGINES = ("transformers", "xllamacpp", "llamacpp", "vllm")
_CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "days": {"type": "integer", "minimum": 1, "maximum": 9}},
    "required": ["city", "days"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def wanted(spec: LoaderSpec) -> None:
    """Skip the loaders that need no test, before their environments are built."""
    if spec.name not in _ENGINES:
        pytest.skip(f"{spec.name}: its grammar is that of another loader.")


@pytest.fixture(scope="module")
def supervisor(wanted: None, spec: LoaderSpec, environments: Environments) -> Iterator[Supervisor]:
    """Return a supervisor with the demo model loaded."""
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    installed(spec, environments)
    supervisor = Supervisor(ROOT, environments, lambda pid: 0)
    facts = ModelLibrary(ROOT / "models").facts(demo_model(spec).name)
    try:
        supervisor.load(LoadRequest(facts, spec, build(spec.settings, {})))
        yield supervisor
    finally:
        supervisor.close()


@pytest.mark.declares("json_schema")
def test_a_model_that_must_call_tools_does_and_reads_their_results(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forced_calls, "LEAST_CALLS", 2)
    ran: list[dict[str, Any]] = []
    together = threading.Barrier(2, timeout=_SECONDS)

    def forecast(arguments: Mapping[str, Any], stopped: threading.Event) -> str:
        together.wait()  # Two calls run at the same time.
        ran.append(dict(arguments))
        return f"{arguments['city']}: sun for {arguments['days']} days"

    choices = ToolChoices(YamlStore(tmp_path / "tools.yaml"))
    toolbox = Toolbox(choices, lambda: [ShippedTools([Tool("forecast", "t/f", "Tests", "Weather.", forecast, _CITY)])])
    service = ChatService(
        ChatStore(tmp_path / "chats.sqlite3"),
        supervisor,
        Characters(tmp_path / "c"),
        flush_seconds=0.05,
        toolbox=toolbox,
    )
    monkeypatch.setattr(forced_calls, "MOST_CALLS", 2)
    chat = service.create().id
    choices.switch(chat, "t/f", True)
    choices.set_must_call(chat, True)
    changed = threading.Event()
    service.subscribe(chat, changed.set)
    try:
        params = SamplingParams(max_new_tokens=160, temperature=0.8, seed=5)
        service.send(chat, "What will the weather be?", params, ChatOptions())
        answered: set[str] = set()
        while living := service.live_reply(chat):
            for call, (state, source) in living.calls().items():
                if state == "asks" and call not in answered:
                    assert source == "Tests"
                    answered.add(call)
                    service.answer_call(chat, call, "once")
            assert changed.wait(_SECONDS), "the reply stood still"
            changed.clear()
    finally:
        service.close()
    with_parts = ChatStore(tmp_path / "chats.sqlite3")
    reply = with_parts.path(chat)[-1]
    with_parts.close()
    assert not reply.meta.get("error"), reply.meta
    calls = [json.loads(part.text) for part in reply.parts if part.kind == TOOL_CALL]
    results = [part.text for part in reply.parts if part.kind == TOOL_RESULT]
    assert len(answered) == len(calls) == len(ran) == 2
    assert results == [f"{call['city']}: sun for {call['days']} days" for call in calls]
    # The second round read the calls and the results, and wrote freely.
    kinds = [part.kind for part in reply.parts]
    assert kinds[:4] == [TOOL_CALL, TOOL_CALL, TOOL_RESULT, TOOL_RESULT]
    assert set(kinds[4:]) <= {TEXT}
    assert reply.meta["prompt_tokens"] > 60 and reply.meta["generated_tokens"] > 20


# The switch, the effort and the markers of a reasoning model, around the demo model's own notation.
_THINKING = """{%- if reasoning_effort is defined %}<|im_start|>system
Reasoning: {{ reasoning_effort }}<|im_end|>
{% endif %}{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{%- if add_generation_prompt %}<|im_start|>assistant
<think>
{% if enable_thinking is defined and not enable_thinking %}
</think>

{% endif %}{%- endif %}"""
_BUDGET = 12


def test_thinking_has_a_switch_an_effort_and_a_budget(supervisor: Supervisor, tmp_path: Path) -> None:
    store, characters = ChatStore(tmp_path / "chats.sqlite3"), Characters(tmp_path / "c")
    service = ChatService(store, supervisor, characters, flush_seconds=0.05)
    params = SamplingParams(max_new_tokens=40, temperature=0.8, seed=5, ban_eos_token=True)

    def settle(chat: str) -> Message:
        changed = threading.Event()
        end = service.subscribe(chat, changed.set)
        while service.live_reply(chat):
            assert changed.wait(_SECONDS), "the reply stood still"
            changed.clear()
        end()
        return service.messages(chat)[-1]

    def ask(**options: Any) -> tuple[str, Message]:
        chat = service.create().id
        service.send(chat, "Once upon a time", params, ChatOptions(template=_THINKING, **options))
        return chat, settle(chat)

    try:
        chat, reply = ask(thinking_budget=_BUDGET)
        thought = reply.parts[0]
        assert [part.kind for part in reply.parts] == [REASONING, TEXT], reply
        assert thought.closed and "</think>" in thought.meta["after"] and thought.text.strip()
        assert 0 < len(supervisor.tokenize(thought.text)) <= _BUDGET + 2
        assert reply.text.strip() and "<think>" not in reply.text

        # Continue resumes the answer, and an edit keeps the reasoning.
        service.continue_reply(chat, params, ChatOptions(template=_THINKING))
        longer = settle(chat)
        assert longer.parts[0].text == thought.text
        assert longer.text.startswith(reply.text.rstrip()) and len(longer.text) > len(reply.text)
        service.edit(chat, longer.id, "Edited.")
        edited = service.messages(chat)[-1]
        assert (reasoning_text(edited.parts), edited.text) == (thought.text.strip(), "Edited.")

        _, quick = ask(thinking=False)
        assert [part.kind for part in quick.parts if part.text.strip()] == [TEXT]
        _, unlimited = ask(thinking=True)
        assert unlimited.parts[0].kind == REASONING and not unlimited.parts[0].closed
        _, deep = ask(effort="high", thinking=True)
        assert deep.meta["prompt_tokens"] > unlimited.meta["prompt_tokens"]
    finally:
        service.close()
