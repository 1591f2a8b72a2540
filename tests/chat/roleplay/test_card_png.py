"""Cards in PNG files: every form of the text, damage, and bombs."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from pathlib import Path

import pytest

from modules.chat.character_file import parse_character
from modules.chat.roleplay.card_error import CardError
from modules.chat.roleplay.card_png import plain_picture, read_png_card, write_png_card

CARD = json.dumps({"name": "Zoë", "first_mes": "Hi", "description": "d"}).encode()
PICTURE = plain_picture(8, 8)


def with_chunk(kind: bytes, content: bytes, *, checksum: int = 0) -> bytes:
    """Return a PNG file with one more chunk before its end."""
    crc = zlib.crc32(content, zlib.crc32(kind)) ^ checksum
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)
    return PICTURE[:-12] + chunk + PICTURE[-12:]


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(CARD),
        base64.urlsafe_b64encode(CARD).rstrip(b"="),
        base64.encodebytes(CARD),
        b"\xef\xbb\xbf" + base64.b64encode(CARD) + b"\x00",
        CARD,
    ],
    ids=["standard", "url-safe", "lines", "bom", "plain"],
)
def test_every_way_to_write_the_text_is_read(text: bytes) -> None:
    for chunk in (with_chunk(b"tEXt", b"chara\x00" + text), with_chunk(b"tEXt", b"Chara\x00" + text)):
        assert parse_character(chunk, "z.png").name == "Zoë"


def test_compressed_texts_are_read_up_to_a_limit() -> None:
    packed = zlib.compress(base64.b64encode(CARD))
    assert parse_character(with_chunk(b"zTXt", b"chara\x00\x00" + packed), "z.png").name == "Zoë"
    assert parse_character(with_chunk(b"iTXt", b"chara\x00\x01\x00\x00\x00" + packed), "z.png").name == "Zoë"
    bomb = zlib.compress(b"A" * (64 << 20), 9)
    with pytest.raises(CardError, match="more than 24 MB"):
        read_png_card(with_chunk(b"zTXt", b"chara\x00\x00" + bomb), "bomb.png")


def test_version_3_counts_and_version_2_is_what_remains_of_a_damaged_one() -> None:
    third = CARD.replace(b'"d"', b'"three"')
    both = write_png_card(PICTURE, {"chara": CARD, "ccv3": third}, {}, "x")
    assert parse_character(both, "z.png").card.description == "three"
    broken = write_png_card(PICTURE, {"chara": CARD, "ccv3": b"{not json"}, {}, "x")
    found = parse_character(broken, "z.png")
    assert found.card.description == "d" and "version 3 in z.png is damaged" in found.notes[0]


def test_a_chunk_that_is_no_base64_is_named_where_another_one_is_read() -> None:
    both = write_png_card(PICTURE, {"chara": CARD}, {}, "x")
    chunk = with_chunk(b"tEXt", b"ccv3\x00!!!!*")[len(PICTURE) - 12 : -12]
    found = parse_character(both[:-12] + chunk + both[-12:], "z.png")
    assert found.name == "Zoë" and found.notes == ["The chunk ccv3 of z.png is damaged and was left out."]


def test_of_several_chunks_the_first_one_that_can_be_read_counts() -> None:
    other = CARD.replace(b"Zo", b"Leo")
    for texts, name in (((CARD[:20], CARD), "Zoë"), ((CARD, other), "Zoë"), ((CARD, CARD[:20]), "Zoë")):
        chunks = [with_chunk(b"tEXt", b"chara\x00" + base64.b64encode(one))[len(PICTURE) - 12 : -12] for one in texts]
        assert parse_character(PICTURE[:-12] + b"".join(chunks) + PICTURE[-12:], "z.png").name == name


def test_a_wrong_checksum_is_noted_and_a_text_that_is_none_is_a_sentence() -> None:
    text = base64.b64encode(CARD)
    found = parse_character(with_chunk(b"tEXt", b"chara\x00" + text, checksum=1), "z.png")
    assert found.name == "Zoë" and "wrong checksum" in found.notes[0]
    with pytest.raises(CardError, match="its chunk chara is damaged"):
        read_png_card(with_chunk(b"tEXt", b"chara\x00%%%"), "z.png")
    with pytest.raises(CardError, match="a picture without a character card"):
        parse_character(PICTURE, "z.png")


@pytest.mark.parametrize("cut", [9, 30, -4, -13])
def test_a_file_that_is_cut_off_is_a_sentence(cut: int) -> None:
    with pytest.raises(CardError, match=r"z\.png is damaged: "):
        read_png_card(with_chunk(b"tEXt", b"chara\x00" + base64.b64encode(CARD))[:cut], "z.png")


def test_a_length_that_lies_is_a_sentence() -> None:
    lies = PICTURE[:8] + struct.pack(">I", 0xFFFFFFFF) + PICTURE[12:]
    with pytest.raises(CardError, match="in the middle of a chunk"):
        read_png_card(lies, "z.png")


def test_cards_are_replaced_and_the_picture_and_files_stay(tmp_path: Path) -> None:
    first = write_png_card(PICTURE, {"chara": CARD}, {"voice/a.ogg": b"\x00\x01"}, "x")
    found = read_png_card(first, "x")
    assert found.image == PICTURE and found.cards == {"chara": CARD} and found.assets == {"voice/a.ogg": b"\x00\x01"}
    second = read_png_card(write_png_card(first, {"ccv3": b"{}"}, {}, "x"), "x")
    assert second.cards == {"ccv3": b"{}"} and second.assets == {}
