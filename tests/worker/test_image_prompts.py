"""Images in a chat: how templates write them, and who refuses them."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from modules.families.turn_order import merge_same_role
from modules.protocol.codec import decode_command, encode
from modules.protocol.commands import Generate
from modules.protocol.errors import PromptError
from modules.protocol.events import ModelInfo
from modules.protocol.sampling import SamplingParams
from modules.worker.chat_prompts import ChatPrompts
from modules.worker.engine import EngineBase, Outcome, Piece, Report
from modules.worker.template_process import TemplateProcess

PLAIN = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }} {% endfor %}"
TYPED = (
    "{% for m in messages %}[{{ m['role'] }}] {% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for part in m['content'] %}{% if part['type'] == 'image' %}<see><image></see>{% else %}{{ part['text'] }}"
    "{% endif %}{% endfor %}{% endif %} {% endfor %}"
)
ONLY_PARTS = (
    "{% for m in messages %}{{ m['role'] }}:{% for part in m['content'] | selectattr('type', 'equalto', 'image') %}"
    "<image>{% endfor %}{% for part in m['content'] | selectattr('type', 'equalto', 'text') %} {{ part['text'] }}"
    "{% endfor %}{% if not loop.last %};{% endif %}{% endfor %}"
)
IMAGE_TOKENS = 10


class Eyes(EngineBase):
    """Counts words, and ten for an image."""

    image_mark = "<image>"
    typed_media = True

    def load(self, path: Path, settings: Any, report: Report) -> ModelInfo:
        return ModelInfo(0)

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        yield Piece("")
        return Outcome("stop")

    def tokenize(self, text: str, special: bool) -> list[int]:
        return list(range(len(text.split())))

    def count_tokens(self, prompt: str, media: Sequence[str]) -> int:
        return len(prompt.split()) + IMAGE_TOKENS * len(media)

    def detokenize(self, tokens: list[int]) -> str:
        return ""


def _image(path: str) -> dict[str, str]:
    return {"type": "image", "path": path}


def _text(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def _user(*parts: dict[str, str]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


@pytest.fixture(scope="module")
def templates() -> Iterator[TemplateProcess]:
    templates = TemplateProcess()
    yield templates
    templates.close()


def _prepare(templates: TemplateProcess, chat: Generate, template: str = PLAIN, context: int = 1000) -> Generate:
    info = ModelInfo(context, template=template, sees_images=True)
    return ChatPrompts(Eyes(), templates).prepare(chat, info)[0]


def test_a_content_of_parts_crosses_to_the_worker() -> None:
    chat = Generate("1", messages=[_user(_image("/a.png"), _text("What is it?"))])
    assert decode_command(encode(chat)) == chat


def test_a_template_without_images_gets_marks_in_the_text(templates: TemplateProcess) -> None:
    request = _prepare(templates, Generate("1", messages=[_user(_image("/a.png"), _text("What is it?"))]))
    assert request.prompt == "[user] <image>\nWhat is it? "
    assert request.media == ["/a.png"]


def test_a_template_that_reads_parts_writes_images_itself(templates: TemplateProcess) -> None:
    chat = Generate("1", messages=[_user(_text("Look: "), _image("/a.png"))])
    request = _prepare(templates, chat, TYPED)
    assert request.prompt == "[user] Look: <see><image></see> "
    assert "/a.png" not in request.prompt


def test_a_template_that_reads_only_parts_loses_no_text(templates: TemplateProcess) -> None:
    asked = [_user(_text("Look"), _image("/a.png")), {"role": "assistant", "content": "I do"}]
    assert _prepare(templates, Generate("1", messages=asked), ONLY_PARTS).prompt == "user:<image> Look;assistant: I do"
    begun = Generate("1", messages=asked, continue_last=True)
    assert _prepare(templates, begun, ONLY_PARTS).prompt == "user:<image> Look;assistant: I do"
    alone = Generate("1", messages=[{"role": "user", "content": "Hello"}])
    assert _prepare(templates, alone, ONLY_PARTS).prompt == "user: Hello"


def test_images_stay_in_order_when_messages_are_joined(templates: TemplateProcess) -> None:
    chat = Generate("1", messages=[_user(_image("/a")), {"role": "user", "content": "and"}, _user(_image("/b"))])
    request = _prepare(templates, chat)
    assert request.prompt == "[user] <image>\nand\n<image> "
    assert request.media == ["/a", "/b"]
    assert len(merge_same_role(chat.messages)) == 1


def test_a_mark_that_someone_typed_stands_for_no_image(templates: TemplateProcess) -> None:
    chat = Generate(
        "1", messages=[_user(_text("an <image>"), _image("/a")), {"role": "assistant", "content": "<image>"}]
    )
    assert _prepare(templates, chat).prompt.count("<image>") == 1
    alone = _prepare(templates, Generate("1", messages=[{"role": "user", "content": "an <image>"}]))
    assert alone.prompt == "[user] an <image> "  # nothing else reads it


def test_an_image_alone_is_a_message(templates: TemplateProcess) -> None:
    chat = Generate("1", messages=[_user(_image("/a"))], overflow="cut")
    assert _prepare(templates, chat).media == ["/a"]


def test_images_of_messages_that_are_left_out_do_not_reach_the_engine(templates: TemplateProcess) -> None:
    turns = [one for n in range(8) for one in (_user(_image(f"/{n}")), {"role": "assistant", "content": "yes"})]
    chat = Generate("1", "", SamplingParams(max_new_tokens=10), messages=[*turns, _user(_text("So?"))], overflow="cut")
    request = _prepare(templates, chat, context=60)
    assert 0 < len(request.media) < 5
    assert request.media[-1] == "/7"
    assert request.prompt.count("<image>") == len(request.media)


def test_a_model_that_does_not_see_refuses_with_a_next_step(templates: TemplateProcess) -> None:
    chat = Generate("1", messages=[_user(_image("/a.png"))])
    for engine in (Eyes(), _Messages()):
        with pytest.raises(PromptError, match=r"does not see images\. Choose a model that does"):
            ChatPrompts(engine, templates).prepare(chat, ModelInfo(1000, template=PLAIN))


def test_texts_in_parts_need_no_model_that_sees(templates: TemplateProcess) -> None:
    chat = Generate("1", messages=[_user(_text("one"), _text("two"))])
    request, _ = ChatPrompts(Eyes(), templates).prepare(chat, ModelInfo(1000, template=TYPED))
    assert request.prompt == "[user] one\ntwo "


class _Messages(Eyes):
    takes_messages = True


def test_an_engine_that_takes_messages_gets_the_parts(templates: TemplateProcess) -> None:
    chat = Generate("1", messages=[_user(_image("/a.png"), _text("What is it?"))])
    info = ModelInfo(1000, template=PLAIN, sees_images=True)
    request, prompted = ChatPrompts(_Messages(), templates).prepare(chat, info)
    assert request.messages == chat.messages
    assert prompted.tokens == 3 + IMAGE_TOKENS
