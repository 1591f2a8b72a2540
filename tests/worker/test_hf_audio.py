"""Sounds in prompts for a Transformers model: a tiny Qwen2-Audio with random weights, in the engine of the loaders."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from modules.protocol.errors import PromptError  # noqa: E402
from modules.worker.hf.auto_class import text_only_note  # noqa: E402
from modules.worker.hf.image_processor import SOUND  # noqa: E402
from tests.support.qwen_audio_maker import make  # noqa: E402
from tests.support.sounds import HIGH, LOW, tone  # noqa: E402
from tests.worker.hf_tiny import byte_level, wrapped  # noqa: E402
from tests.worker.test_hf_images import Seeing, check_without_processor  # noqa: E402


class Hearing(Seeing):
    """The same, for sounds in place of images."""

    kind = "audio"


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a low and a high tone, as the host writes them."""
    folder = tmp_path_factory.mktemp("sounds")
    for name, frequency in (("low", LOW), ("high", HIGH)):
        (folder / f"{name}.wav").write_bytes(tone(frequency))
    return folder / "low.wav", folder / "high.wav"


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("qwen") / "qwen", wrapped(byte_level()))


@pytest.fixture(scope="module")
def hears(qwen: Path) -> Hearing:
    return Hearing(qwen, context=600)


def test_different_sounds_give_different_logits_and_the_same_one_the_same(
    hears: Hearing, sounds: tuple[Path, Path]
) -> None:
    assert (hears.info.audio_formats, hears.info.sees_images, hears.info.notes) == (["wav"], False, [])
    low, high, again = (hears.reply([path, "What is this?"]) for path in (*sounds, sounds[0]))
    assert low[1] != pytest.approx(high[1], abs=1e-3)
    assert again[0] == low[0]
    assert again[1] == pytest.approx(low[1], abs=1e-3)


def test_text_alone_gives_the_same_before_and_after_a_sound(hears: Hearing, sounds: tuple[Path, Path]) -> None:
    before = hears.reply("What is this?")
    hears.reply([sounds[1], "What is this?"])
    assert hears.reply("What is this?")[1] == pytest.approx(before[1], abs=1e-3)


def test_logits_are_those_of_transformers(hears: Hearing, sounds: tuple[Path, Path]) -> None:
    import wave

    import numpy as np
    from transformers import AutoProcessor

    processor = AutoProcessor.from_pretrained(hears.engine.tokenizer.name_or_path)
    with wave.open(str(sounds[1])) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    request, _ = hears.prepare([sounds[1], "What is this?"])
    inputs = processor(text=[request.prompt], audio=[samples], sampling_rate=16_000, return_tensors="pt")
    with torch.inference_mode():
        logits = hears.engine.model(**inputs).logits[0, -1]
    token = int(logits.argmax())
    _, chances, outcome = hears.reply([sounds[1], "What is this?"])
    assert outcome.prompt_tokens == inputs["input_ids"].shape[1]
    if token != hears.engine.tokenizer.eos_token_id:
        assert chances[0] == pytest.approx(float(logits.log_softmax(-1)[token]), abs=1e-4)


def test_its_tokens_are_counted_before_and_after(hears: Hearing, sounds: tuple[Path, Path]) -> None:
    _, text = hears.prepare("What is this?")
    _, prompted = hears.prepare([sounds[0], "What is this?"])
    # A second is 100 frames; two convolutions and the mean of pairs leave 25. The marks around it are two more.
    assert prompted.tokens - text.tokens == 25 + 2
    assert hears.reply([sounds[0], "What is this?"])[2].prompt_tokens == prompted.tokens


def test_the_next_turn_reads_no_sound_again_and_another_one_is_read(hears: Hearing, sounds: tuple[Path, Path]) -> None:
    text, _, first = hears.reply([sounds[1], "What is this?"])
    second = hears.reply([sounds[1], "What is this?"], text, "And why?")
    assert second[2].cached_tokens >= first.prompt_tokens
    other = hears.reply([sounds[0], "What is this?"], text, "And why?")
    assert other[2].cached_tokens < 25
    two = [[sounds[0], "One"], "Yes", [sounds[1], "Two"]]
    hears.reply(two[0])
    fresh = Hearing(Path(hears.engine.tokenizer.name_or_path), context=600)
    assert hears.reply(*two)[1] == pytest.approx(fresh.reply(*two)[1], abs=1e-3)


def test_what_cannot_be_read_gets_a_sentence(hears: Hearing, tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="cannot be read"):
        hears.prepare([tmp_path / "gone.wav", "What is this?"])
    (tmp_path / "a.mp3").write_bytes(b"")
    with pytest.raises(PromptError, match="takes sound as WAV, not as MP3"):
        hears.prepare([tmp_path / "a.mp3", "What is this?"])


def test_it_can_be_switched_off(qwen: Path, sounds: tuple[Path, Path]) -> None:
    deaf = Hearing(qwen, images=False)
    assert not deaf.info.audio_formats and deaf.info.notes == [text_only_note(SOUND)]
    with pytest.raises(PromptError, match="does not hear"):
        deaf.prepare([sounds[0], "What is this?"])


def test_without_its_processor_it_answers_text_and_says_why(qwen: Path, tmp_path: Path) -> None:
    check_without_processor(qwen, tmp_path, SOUND)


def test_a_sound_longer_than_the_encoder_hears_gets_a_sentence(qwen: Path, tmp_path: Path) -> None:
    long = Hearing(qwen, context=1000)
    for seconds in (30, 31):
        (tmp_path / f"{seconds}.wav").write_bytes(tone(seconds=seconds))
    _, text = long.prepare("What is this?")
    _, prompted = long.prepare([tmp_path / "30.wav", "What is this?"])
    assert prompted.tokens - text.tokens == 30 * 25 + 2
    with pytest.raises(PromptError, match="hears 30 seconds of a sound, and one has more"):
        long.prepare([tmp_path / "31.wav", "What is this?"])
