"""The remote loader with another Paddock as the server, in a worker process."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.app import App
from modules.chat.messages import ChatOptions
from modules.protocol.commands import Generate
from modules.protocol.errors import PaddockError, Unsupported
from modules.protocol.sampling import SamplingParams
from modules.settings.config import Config
from tests.conftest import ROOMY
from tests.support.server import serving

FILE = "far.remote.yaml"


@pytest.fixture
def far(echo: App) -> Iterator[str]:
    """Return the address of another Paddock with the echo loader."""
    with serving(echo) as address:
        yield address


@pytest.fixture
def near(far: str, config: Config, tmp_path: Path) -> Iterator[App]:
    """Return a Paddock that has loaded the other one's model."""
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / FILE).write_text(f"address: {far}\nmodel: tiny\n")
    app = App(dataclasses.replace(config, models=tmp_path / "near", user_data=tmp_path / "near_data", show_echo=False))
    app.models.load(FILE)
    yield app
    app.close()


def test_a_remote_file_is_a_model_for_the_remote_loader(near: App) -> None:
    assert near.library.names() == [FILE]
    facts, ranked = near.loaders.rank(FILE)
    assert (facts.format, facts.problems) == ("remote", ())
    assert [entry.loader for entry in ranked if entry.runs] == ["remote"]
    info = near.supervisor.loaded()
    assert "another Paddock" in info.device
    assert any("estimates" in note for note in info.notes)


def test_the_server_continues_and_counts_a_text(near: App) -> None:
    generation = near.supervisor.generate("one two three", SamplingParams(max_new_tokens=50))
    assert generation.wait(60)
    assert generation.error is None and generation.finished is not None
    assert generation.text == "one two three"
    assert (generation.finished.reason, generation.finished.prompt_tokens) == ("stop", 3)
    assert generation.finished.generated_tokens == 3


def test_a_chat_is_sent_as_messages(near: App) -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Grüße, 🦙 and {{ x }}"}]
    generation = near.supervisor.generate_chat(Generate("", messages=messages))
    assert generation.wait(60)
    assert generation.text == "Grüße, 🦙 and {{ x }}"
    assert generation.prompted is not None and generation.prompted.tokens > 5


def test_a_whole_chat_through_the_chat_service(near: App, far: str) -> None:
    chat = near.chats.create().id
    near.chats.send(chat, "hello there", SamplingParams(), ChatOptions())
    living = near.chats.live_reply(chat)
    assert living is None or living.generation.wait(60)
    reply = near.chats.messages(chat)[-1]
    assert (reply.text, reply.meta["served_by"]) == ("hello there", far)
    assert near.supervisor.loaded().context == ROOMY["context"], "the other Paddock says it"


def test_stop_texts_and_the_maximum_length_apply(near: App) -> None:
    stopped = near.supervisor.generate("a b c d e", SamplingParams(stop=["c d"]))
    short = near.supervisor.generate("a b c d e", SamplingParams(max_new_tokens=2))
    assert stopped.wait(60) and short.wait(60)
    assert stopped.finished is not None and short.finished is not None
    assert (stopped.text, stopped.finished.reason) == ("a b ", "stop_text")
    assert (short.text, short.finished.reason) == ("a b", "length")


def test_cancel_takes_effect_at_once_on_both_sides(near: App, echo: App) -> None:
    generation = near.supervisor.generate("never ends !long", SamplingParams(max_new_tokens=900_000))
    for _ in generation.follow(gather=0):
        break
    generation.cancel()
    assert generation.wait(60)
    assert generation.finished is not None and generation.finished.reason == "cancelled"
    assert generation.text.startswith("never ends")
    # The server runs as many replies as it has slots. These are answered, so it has ended the stopped reply.
    others = [near.supervisor.generate("still here", SamplingParams()) for _ in range(3)]
    assert all(other.wait(60) for other in others)
    assert [other.text for other in others] == ["still here"] * 3


def test_an_unfinished_reply_cannot_be_continued_and_the_error_has_a_next_step(near: App) -> None:
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    generation = near.supervisor.generate_chat(Generate("", messages=messages, continue_last=True))
    assert generation.wait(60)
    assert isinstance(generation.error, Unsupported)
    assert "Regenerate" in generation.error.message


def test_a_reply_rendered_here_can_be_continued(near: App) -> None:
    near.models.load(FILE, settings={"chats": "here"})
    messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b c"}]
    rendered = near.supervisor.chat_prompt(messages, continue_last=True)
    assert rendered.prompt.endswith("<|im_start|>assistant\nb c")
    generation = near.supervisor.generate_chat(Generate("", messages=messages, continue_last=True))
    assert generation.wait(60)
    assert generation.text == "b c"


def test_after_the_servers_death_the_text_is_kept_and_the_worker_lives(near: App, echo: App) -> None:
    echo.models.load("tiny", "echo", {"delay": 0.1})
    generation = near.supervisor.generate("one two three four five six !crash", SamplingParams())
    assert generation.wait(60)
    assert generation.error is not None
    assert generation.text.startswith("one two")
    assert "kept" in generation.error.message
    echo.models.load("tiny", "echo")
    again = near.supervisor.generate("alive", SamplingParams())
    assert again.wait(60)
    assert again.text == "alive"


def test_a_server_without_a_model_is_an_error_at_load(near: App, echo: App) -> None:
    echo.supervisor.unload()
    with pytest.raises(PaddockError, match="has no model loaded"):
        near.models.load(FILE)
