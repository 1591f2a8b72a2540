"""A GGUF model with a made projector for sound beside it hears, in llama.cpp's server."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from modules.app import App
from modules.chat.messages import ChatOptions
from modules.cli.application import build_app
from modules.generation.generation import Generation
from modules.protocol.commands import Generate
from modules.protocol.errors import PromptError
from modules.protocol.sampling import SamplingParams
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.settings.config import Config
from tests.conftest import ROOT
from tests.support.audio_projector_maker import TOKENS
from tests.support.environments import installed
from tests.support.pictures import RED, png
from tests.support.projector import write_audio_projector
from tests.support.server import serving
from tests.support.sounds import HIGH, LOW, MP3_FRAME, mp3, tone

PATIENCE = 120.0
GREEDY = SamplingParams(do_sample=False, max_new_tokens=16)


@pytest.fixture(scope="module")
def hears(environments: Environments, tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """Return an App with the demo model and a projector for sound loaded."""
    installed(Registry(ROOT / "loaders").get("xllamacpp"), environments)
    folder = tmp_path_factory.mktemp("hears")
    models = folder / "models" / "demo"
    models.mkdir(parents=True)
    shutil.copy(ROOT / "models" / "demo.Q8_0.gguf", models)
    write_audio_projector(environments, models / "mmproj-demo.gguf")
    app = build_app(Config(ROOT, port=0, models=folder / "models", user_data=folder / "user_data"))
    try:
        info = app.models.load("demo", "xllamacpp", {"context": 1024})
        assert (info.sees_images, info.audio_formats) == (False, ["wav", "mp3"])
        yield app
    finally:
        app.close()


def _reply(app: App, *turns: Any, **more: Any) -> Generation:
    """Return the reply to a chat: each turn a text, or a list of texts and sounds."""
    messages = []
    for place, turn in enumerate(turns):
        parts: Any = turn
        if isinstance(turn, list):
            parts = [
                {"type": "text", "text": part}
                if isinstance(part, str)
                else {"type": "audio", "path": app.images.add_audio(part)}
                for part in turn
            ]
        messages.append({"role": ("user", "assistant")[place % 2], "content": parts})
    generation = app.supervisor.generate_chat(Generate("", params=GREEDY, messages=messages, logprobs=0, **more))
    assert generation.wait(PATIENCE)
    if generation.error:
        raise generation.error
    return generation


def _chances(generation: Generation) -> list[float]:
    """Return the log-probabilities of the reply's tokens."""
    return [entry["logprob"] for entry in generation.logprobs]


def test_different_sounds_give_different_logits_and_the_same_one_the_same(hears: App) -> None:
    facts = hears.library.facts("demo")
    assert facts.audio and not facts.vision
    low, high, again = (_reply(hears, [tone(pitch), "What is this?"]) for pitch in (LOW, HIGH, LOW))
    assert _chances(low) != pytest.approx(_chances(high), abs=1e-3)
    assert again.text == low.text
    assert _chances(again) == pytest.approx(_chances(low), abs=1e-3)


def test_an_mp3_file_is_heard_as_the_same_sound_in_a_wav_file(hears: App) -> None:
    frames = 60
    silence = tone(0, seconds=frames * MP3_FRAME, rate=44_100)
    packed, plain, loud = (_reply(hears, [data, "What is this?"]) for data in (mp3(frames), silence, tone(HIGH)))
    assert packed.text == plain.text
    assert _chances(packed) == pytest.approx(_chances(plain), abs=0.05)
    assert _chances(packed) != pytest.approx(_chances(loud), abs=0.05)


def test_its_tokens_are_counted(hears: App) -> None:
    text = _reply(hears, "What is this?")
    for seconds, parts in ((1.0, 1), (31.0, 2)):
        sound = _reply(hears, [tone(LOW, seconds), "What is this?"])
        assert text.finished and sound.finished and sound.prompted
        # The line break between the sound and the text is one more.
        assert abs(sound.finished.prompt_tokens - text.finished.prompt_tokens - parts * TOKENS) <= 2
        assert abs(sound.prompted.tokens - sound.finished.prompt_tokens) <= 1


def test_the_next_turn_reads_no_sound_again(hears: App) -> None:
    first = _reply(hears, [tone(HIGH), "What is this?"])
    second = _reply(hears, [tone(HIGH), "What is this?"], first.text, "And why?")
    assert first.finished and second.finished
    assert second.finished.cached_tokens >= first.finished.prompt_tokens
    other = _reply(hears, [tone(LOW), "What is this?"], first.text, "And why?")
    assert other.finished and other.finished.cached_tokens < TOKENS + 8


def test_text_alone_is_answered_as_without_a_projector(hears: App) -> None:
    assert _reply(hears, "What is GGUF?").text.startswith("GGUF is the file format of llama.cpp")


def test_it_still_does_not_see(hears: App) -> None:
    image = {"type": "image", "path": hears.images.add(png(RED))}
    with pytest.raises(PromptError, match="does not see images"):
        hears.supervisor.generate_chat(Generate("", messages=[{"role": "user", "content": [image]}]))


def test_a_sound_in_a_request_changes_the_probabilities_of_the_answer(hears: App) -> None:
    def ask(client: httpx.Client, *sounds: bytes) -> list[float]:
        parts: list[dict[str, Any]] = [
            {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": "wav"}}
            for data in sounds
        ]
        messages = [{"role": "user", "content": [*parts, {"type": "text", "text": "What is this?"}]}]
        body = {"messages": messages, "temperature": 0, "max_tokens": 4, "logprobs": True}
        answer = client.post("/v1/chat/completions", json=body)
        assert answer.status_code == 200, answer.text
        return [entry["logprob"] for entry in answer.json()["choices"][0]["logprobs"]["content"]]

    with serving(hears) as address, httpx.Client(base_url=address, timeout=PATIENCE) as client:
        low, high, text, again = ask(client, tone(LOW)), ask(client, tone(HIGH)), ask(client), ask(client)
    assert low != pytest.approx(high, abs=1e-3)
    assert text == pytest.approx(again, abs=1e-3) and text != pytest.approx(low, abs=1e-3)


def test_a_sound_attached_on_the_page_reaches_the_model_and_its_next_turn(hears: App) -> None:
    chats = hears.chats
    lengths = []
    for sound in (b"", tone(HIGH)):
        files = chats.files.parts([(chats.attachments.add(sound, "a.wav").hash, "a.wav")] if sound else [])
        chat = chats.create().id
        for question, attached in (("What is this?", files), ("And why?", ())):
            chats.send(chat, question, GREEDY, ChatOptions(), attached)
            live = chats.live_reply(chat)
            assert live is None or live.generation.wait(PATIENCE)
            finished = hears.supervisor.last_finished()
            assert finished
            lengths.append(finished)
    text, _, heard, again = lengths
    assert TOKENS <= heard.prompt_tokens - text.prompt_tokens <= TOKENS + 2
    assert again.cached_tokens >= heard.prompt_tokens
