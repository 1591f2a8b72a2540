"""A GGUF model with a made projector beside it sees images, in llama.cpp's server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modules.app import App
from modules.chat.messages import ChatOptions
from modules.cli.application import build_app
from modules.generation.generation import Generation
from modules.protocol.commands import Generate
from modules.protocol.errors import PaddockError, PromptError
from modules.protocol.sampling import SamplingParams
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.settings.config import Config
from tests.conftest import ROOT
from tests.support.environments import installed
from tests.support.pictures import BLUE, RED, png
from tests.support.projector import write_projector
from tests.support.projector_maker import TOKENS

MODEL = "demo.Q8_0.gguf"
PATIENCE = 120.0
GREEDY = SamplingParams(do_sample=False, max_new_tokens=16)


@pytest.fixture(scope="module")
def projector(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a projector for the demo model."""
    return write_projector(environments, tmp_path_factory.mktemp("projector") / "mmproj-demo.gguf")


@pytest.fixture(scope="module")
def sees(environments: Environments, projector: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an App with the demo model and its projector loaded."""
    installed(Registry(ROOT / "loaders").get("xllamacpp"), environments)
    folder = tmp_path_factory.mktemp("sees")
    models = folder / "models" / "demo"
    models.mkdir(parents=True)
    shutil.copy(ROOT / "models" / MODEL, models)
    shutil.copy(projector, models)
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user_data"))
    try:
        info = app.models.load("demo", "xllamacpp", {"context": 1024})
        assert info.sees_images
        yield app
    finally:
        app.close()


def _begin(app: App, *turns: Any, params: SamplingParams = GREEDY, **more: Any) -> Generation:
    """Begin the reply to a chat: each turn a text, or a list of texts and images."""
    roles = ("user", "assistant")
    messages = []
    for place, turn in enumerate(turns):
        parts: Any = turn
        if isinstance(turn, list):
            parts = [
                {"type": "text", "text": part}
                if isinstance(part, str)
                else {"type": "image", "path": app.images.add(part)}
                for part in turn
            ]
        messages.append({"role": roles[place % 2], "content": parts})
    return app.supervisor.generate_chat(Generate("", params=params, messages=messages, **more))


def _reply(app: App, *turns: Any, **more: Any) -> Generation:
    generation = _begin(app, *turns, **more)
    assert generation.wait(PATIENCE)
    if generation.error:
        raise generation.error
    return generation


def _chances(generation: Generation) -> list[float]:
    """Return the log-probabilities of the reply's tokens."""
    return [entry["logprob"] for entry in generation.logprobs]


def test_different_pictures_give_different_logits_and_the_same_one_the_same(sees: App) -> None:
    red, blue, again = (_reply(sees, [png(colour), "What is this?"], logprobs=0) for colour in (RED, BLUE, RED))
    assert _chances(red) != _chances(blue)
    assert again.text == red.text
    assert _chances(again) == pytest.approx(_chances(red), abs=1e-3)


def test_its_tokens_are_counted(sees: App) -> None:
    text = _reply(sees, "What is this?")
    picture = _reply(sees, [png(RED), "What is this?"])
    assert text.finished and picture.finished and picture.prompted
    # The line break between the image and the text is one more.
    assert TOKENS <= picture.finished.prompt_tokens - text.finished.prompt_tokens <= TOKENS + 2
    assert abs(picture.prompted.tokens - picture.finished.prompt_tokens) <= 1


def test_the_next_turn_reads_no_picture_again(sees: App) -> None:
    first = _reply(sees, [png(BLUE), "What is this?"])
    second = _reply(sees, [png(BLUE), "What is this?"], first.text, "And why?")
    assert first.finished and second.finished
    assert second.finished.cached_tokens >= first.finished.prompt_tokens
    other = _reply(sees, [png(RED), "What is this?"], first.text, "And why?")
    assert other.finished and other.finished.cached_tokens < TOKENS + 8


def test_two_pictures_in_one_message_are_told_apart(sees: App) -> None:
    one, other = (
        _reply(sees, [png(first), png(second), "Which?"], logprobs=0) for first, second in ((RED, BLUE), (BLUE, RED))
    )
    assert _chances(one) != _chances(other)


def test_text_alone_is_answered_as_without_a_projector(sees: App) -> None:
    assert _reply(sees, "What is GGUF?").text.startswith("GGUF is the file format of llama.cpp")
    chances = sees.supervisor.next_token_probabilities("The quick brown", 5)
    assert len(chances) == 5 and chances[0]["probability"] > chances[4]["probability"]  # type: ignore[operator]
    vectors, _ = sees.supervisor.embed(["a heron"])
    assert len(vectors[0]) == 256


def test_stop_is_heard(sees: App) -> None:
    params = SamplingParams(do_sample=False, ban_eos_token=True, max_new_tokens=700)
    generation = _begin(sees, [png(RED), "Go on."], params=params)
    generation.cancel()
    assert generation.wait(PATIENCE) and generation.finished
    assert generation.finished.reason == "cancelled"
    assert _reply(sees, "What is GGUF?").text


def test_a_reply_by_a_schema_and_stop_texts_work_with_a_picture(sees: App) -> None:
    schema = '{"type": "object", "properties": {"colour": {"enum": ["red", "blue"]}}, "required": ["colour"]}'
    params = SamplingParams(do_sample=False, max_new_tokens=60, json_schema=schema)
    assert _reply(sees, [png(RED), "What is this?"], params=params).text.replace(" ", "").startswith('{"colour":"')
    whole = _reply(sees, [png(RED), "What is this?"]).text
    stop = whole.split()[2]
    cut = _reply(sees, [png(RED), "What is this?"], params=SamplingParams(do_sample=False, stop=[stop]))
    assert cut.finished and cut.finished.reason == "stop_text"
    assert whole.startswith(cut.text) and stop not in cut.text


def test_an_image_that_is_gone_gets_a_sentence(sees: App) -> None:
    gone = {"type": "image", "path": str(sees.paths.model_images / "gone.png")}
    with pytest.raises(PromptError, match="cannot be read"):
        sees.supervisor.generate_chat(Generate("", messages=[{"role": "user", "content": [gone]}]))


def test_images_can_be_switched_off_and_a_wrong_projector_is_refused(
    sees: App, projector: Path, environments: Environments, tmp_path: Path
) -> None:
    folder = tmp_path / "models" / "demo"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "models" / MODEL, folder)
    shutil.copy(projector, folder)
    wrong = write_projector(environments, folder / "mmproj-wrong-F16.gguf", 512)
    app = build_app(Config(ROOT, port=0, models=tmp_path / "models", user_data=tmp_path / "user_data"))
    try:
        with pytest.raises(PaddockError, match="embedding size of 512, and this model's is 256"):
            app.models.load("demo", "xllamacpp", {"projector": wrong.name})
        assert not app.models.load("demo", "xllamacpp", {"projector": "none"}).sees_images
        with pytest.raises(PromptError, match="does not see images"):
            _begin(app, [png(RED), "What is this?"])
        assert app.models.load("demo", "xllamacpp", {}).sees_images
    finally:
        app.close()


def test_a_picture_attached_on_the_page_reaches_the_model_and_its_next_turn(sees: App) -> None:
    chats = sees.chats
    lengths = []
    for picture in (b"", png(RED)):
        files = chats.files.parts([(chats.attachments.add(picture, "a.png").hash, "a.png")] if picture else [])
        chat = chats.create().id
        for question, attached in (("What is this?", files), ("And why?", ())):
            chats.send(chat, question, GREEDY, ChatOptions(), attached)
            live = chats.live_reply(chat)
            assert live is None or live.generation.wait(PATIENCE)
            finished = sees.supervisor.last_finished()
            assert finished
            lengths.append(finished)
    text, _, seen, again = lengths
    assert TOKENS <= seen.prompt_tokens - text.prompt_tokens <= TOKENS + 2
    assert again.cached_tokens >= seen.prompt_tokens
