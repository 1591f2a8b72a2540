"""The worker renders chats, fits them to the context and counts them. Here, a token is a word."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modules.protocol.commands import Generate
from modules.protocol.errors import PromptError
from modules.protocol.events import ModelInfo, Prompted
from modules.protocol.sampling import SamplingParams
from modules.worker.chat_prompts import ChatPrompts
from modules.worker.engine import EngineBase, Outcome, Piece, Report
from modules.worker.recent_prompts import remember_prompts
from modules.worker.template_process import TemplateProcess

TEMPLATE = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} {% endfor %}"
TURNS = [{"role": role, "content": "one two three four"} for _ in range(10) for role in ("user", "assistant")]
CHAT = [{"role": "system", "content": "be kind"}, *TURNS, {"role": "user", "content": "the question"}]


class Words(EngineBase):
    """Counts words."""

    def load(self, path: Path, settings: Any, report: Report) -> ModelInfo:
        return ModelInfo(0)

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        yield Piece("")
        return Outcome("stop")

    def tokenize(self, text: str, special: bool) -> list[int]:
        return list(range(len(text.split())))

    def detokenize(self, tokens: list[int]) -> str:
        return ""


@pytest.fixture(scope="module")
def templates() -> Iterator[TemplateProcess]:
    templates = TemplateProcess()
    yield templates
    templates.close()


def prepare(
    templates: TemplateProcess, chat: Generate, context: int = 60, takes_messages: bool = False
) -> tuple[Generate, Prompted]:
    """Return the request for the engine, and the event for the host."""
    engine = Words()
    engine.takes_messages = takes_messages
    return ChatPrompts(engine, templates).prepare(chat, ModelInfo(context, template=TEMPLATE))


def test_a_chat_that_fits_becomes_a_whole_prompt(templates: TemplateProcess) -> None:
    request, prompted = prepare(templates, Generate("1", messages=CHAT, overflow="cut"), context=1000)
    assert request.prompt.startswith("[system] be kind [user] one") and request.prompt.endswith("the question ")
    assert request.messages == []
    assert (prompted.id, prompted.tokens, prompted.left_out) == ("1", len(request.prompt.split()), 0)


def test_the_oldest_turns_are_left_out_and_the_first_messages_stay(templates: TemplateProcess) -> None:
    params = SamplingParams(max_new_tokens=20)
    request, prompted = prepare(templates, Generate("1", "", params, messages=CHAT, overflow="cut", keep_first=1))
    assert request.prompt.startswith("[system] be kind [user] one")
    assert prompted.tokens == len(request.prompt.split()) <= 40
    assert CHAT[1 + prompted.left_out]["role"] == "user" and prompted.left_out > 0


def test_a_chat_that_may_not_be_cut_is_refused(templates: TemplateProcess) -> None:
    chat = Generate("1", "", SamplingParams(max_new_tokens=20), messages=CHAT, overflow="refuse", keep_first=1)
    with pytest.raises(PromptError, match=r"106 tokens; the context holds 60, of which 20 are kept"):
        prepare(templates, chat)


def test_without_fitting_all_messages_go_in(templates: TemplateProcess) -> None:
    request, prompted = prepare(templates, Generate("1", messages=CHAT))
    assert prompted.tokens == 106 and prompted.left_out == 0 and "be kind" in request.prompt


def test_the_reply_may_fill_the_rest_of_the_context(templates: TemplateProcess) -> None:
    for context, longest in ((300, 300 - 106), (200, 100), (60, 30)):
        request, _ = prepare(templates, Generate("1", messages=CHAT, fill_context=True), context=context)
        assert request.params.max_new_tokens == longest
    request, _ = prepare(templates, Generate("1", messages=CHAT), context=1000)
    assert request.params.max_new_tokens == SamplingParams().max_new_tokens


def test_a_reply_begins_with_the_prefix(templates: TemplateProcess) -> None:
    request, prompted = prepare(templates, Generate("1", messages=CHAT[-1:], reply_prefix="Sure, "))
    assert request.prompt == "[user] the question Sure, "
    assert prompted.tokens == 3


def test_messages_moved_for_the_template_are_reported(templates: TemplateProcess) -> None:
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system.') }}{% endif %}" + TEMPLATE
    request, prompted = prepare(templates, Generate("1", messages=[CHAT[0], CHAT[-1]], template=strict))
    assert request.prompt == "[user] be kind\n\nthe question "
    assert len(prompted.notes) == 1 and "put into the question" in prompted.notes[0]


def test_reasoning_begun_by_the_prompt_is_reported(templates: TemplateProcess) -> None:
    template = TEMPLATE + "{% if add_generation_prompt %}<think>\n{% endif %}"
    _, prompted = prepare(templates, Generate("1", messages=CHAT[-1:], template=template))
    assert prompted.opening == "<think>\n"


def test_an_engine_that_takes_messages_gets_fitted_messages(templates: TemplateProcess) -> None:
    params = SamplingParams(max_new_tokens=20)
    chat = Generate("1", "", params, messages=CHAT, overflow="cut", keep_first=1)
    request, prompted = prepare(templates, chat, takes_messages=True)
    assert request.prompt == ""
    assert request.messages[0] == CHAT[0] and request.messages[-1] == CHAT[-1]
    assert len(request.messages) == len(CHAT) - prompted.left_out < len(CHAT)
    begun, _ = prepare(templates, Generate("1", messages=CHAT[-1:], reply_prefix="Sure, "), takes_messages=True)
    assert begun.messages[-1] == {"role": "assistant", "content": "Sure, "} and begun.continue_last


def test_a_chosen_template_is_also_used_for_an_engine_that_takes_messages(templates: TemplateProcess) -> None:
    chat = Generate("1", messages=CHAT[-1:], template="own: " + TEMPLATE)
    request, _ = prepare(templates, chat, takes_messages=True)
    assert request.prompt == "own: [user] the question " and request.messages == []


def test_each_prompt_is_tokenized_only_once() -> None:
    seen: list[str] = []

    def tokenize(text: str) -> list[int]:
        seen.append(text)
        return [1, 2]

    ids = remember_prompts(tokenize)
    ids("a").append(3)
    assert ids("a") == [1, 2]
    assert seen == ["a"]


HARMONY = "<|start|>user<|message|>{{ messages[0].content }}<|end|><|start|>assistant{# <|channel|> #}"


@pytest.mark.parametrize(
    ("template", "end"),
    [
        ("{{ messages[0].content }}<a><think>\n{# </think> #}", "<think>\n</think>\n\n"),
        (HARMONY, "<|start|>assistant<|channel|>final<|message|>"),
        ("{{ messages[0].content }}<a>", "x<a>"),
    ],
)
def test_a_reply_by_a_schema_has_no_reasoning(templates: TemplateProcess, template: str, end: str) -> None:
    chat = Generate("1", messages=[{"role": "user", "content": "x"}], template=template)
    free, _ = prepare(templates, chat)
    request, prompted = prepare(templates, replace(chat, params=SamplingParams(json_schema="{}")))
    assert request.prompt.endswith(end)
    assert prompted.opening == ""
    assert prompted.tokens == len(request.prompt.split())
    assert free.prompt == request.prompt or "final" not in free.prompt
