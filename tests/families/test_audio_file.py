"""What WAV and MP3 files say of themselves."""

from __future__ import annotations

import pytest

from modules.families.audio_file import FLOAT, MP3, PCM, WAV, AudioFileError, is_audio, read_audio, wrong_format
from tests.support.pictures import RED, png
from tests.support.sounds import MP3_FRAME, mp3, tone, wav_of


def test_a_wav_file_says_its_length_and_layout() -> None:
    found = read_audio(tone(seconds=2.5, rate=8000))
    assert (found.format, found.seconds, found.sample_rate) == (WAV, 2.5, 8000)
    found = read_audio(wav_of(bytes(4 * 2 * 480), FLOAT, 2, 48_000, 4))
    assert (found.seconds, found.coding, found.channels, found.width) == (0.01, FLOAT, 2, 4)


def test_a_wav_file_that_was_cut_or_streamed_has_the_samples_that_are_there() -> None:
    whole = tone(seconds=1.0)
    assert read_audio(whole[: len(whole) // 2 + 22]).seconds == pytest.approx(0.5, abs=0.01)
    streamed = bytearray(whole)
    streamed[40:44] = b"\xff\xff\xff\xff"
    assert read_audio(bytes(streamed)).seconds == 1.0


def test_an_mp3_file_is_measured_by_its_frames_without_its_tag() -> None:
    data = mp3(50, tag=b"a tag with \xff\xfb in it") + b"TAG" + bytes(125)
    found = read_audio(data)
    assert (found.format, found.sample_rate) == (MP3, 44_100)
    assert found.seconds == pytest.approx(50 * MP3_FRAME)
    assert data[found.first : found.end] == mp3(50)


def test_joined_mp3_files_have_the_seconds_of_both() -> None:
    data = mp3(50, tag=b"first") + mp3(30, tag=b"second")
    found = read_audio(data)
    assert found.seconds == pytest.approx(80 * MP3_FRAME)
    assert data[found.first : found.end] == mp3(50) + mp3(30, tag=b"second")


def test_a_damaged_frame_of_an_mp3_file_is_the_only_one_that_is_lost() -> None:
    data = bytearray(mp3(50))
    place = 20 * len(mp3(1))
    data[place : place + 4] = bytes(4)
    found = read_audio(bytes(data))
    assert found.seconds == pytest.approx(49 * MP3_FRAME)
    assert (found.first, found.end) == (0, len(data))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is no sound"),
        (b"plain text", "is no sound"),
        (png(RED), "is no sound"),
        (b"ID3\4\0\0\0\0\0\5short", "is no sound"),
        (mp3(1), "is no sound"),
        (tone()[:30], "has no samples"),
        (wav_of(b"", PCM, 1, 16_000, 2), "has no sound in it"),
        (wav_of(bytes(100), 0x11, 1, 16_000, 2), "samples of an unknown kind"),
        (wav_of(bytes(100), PCM, 0, 16_000, 2), "samples of an unknown kind"),
        (wav_of(bytes(100), PCM, 1, 0, 2), "samples of an unknown kind"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(AudioFileError, match=reason):
        read_audio(data)


def test_files_of_other_kinds_are_no_audio() -> None:
    assert is_audio(tone()) and is_audio(mp3()) and is_audio(mp3(tag=b"x"))
    others = (
        "heron".encode("utf-16"),
        b"\xff\xfeh\0",
        b"ID3 is a tag.",
        b"ID3\nis a heading.",
        b"RIFF but WEBP",
        b"\xff\xd8\xff\xe0",
    )
    assert not any(map(is_audio, others))


def test_a_wrong_format_names_the_right_one() -> None:
    assert wrong_format(MP3, [WAV], "heron").startswith("heron takes sound as WAV, not as MP3. Save it as WAV")
