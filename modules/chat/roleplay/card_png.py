"""Character cards inside PNG and APNG files: the JSON of a card in tEXt chunks, as base64.

`chara` has a card of version 1 or 2 (github.com/malfoyslastname/character-card-spec-v2), `ccv3` one of version 3
(github.com/kwaroran/character-card-spec-v3), and `chara-ext-asset_:PATH` a file that the card names.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from modules.chat.roleplay.card_error import CardError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
CARD_KEYWORDS = ("ccv3", "chara")
_ASSET = "chara-ext-asset_:"
# Bytes of one text in a chunk, compressed or not, and of all files in chunks.
_MOST_TEXT = 24 << 20
_MOST_BASE64 = _MOST_TEXT * 4 // 3
_MOST_ASSETS = 64 << 20


@dataclass(frozen=True)
class PngCard:
    """What a PNG file has besides its picture.

    `image`: the file without the chunks of cards; `cards`: keyword -> JSON as bytes; `assets`: path -> content;
    `notes`: sentences about damage.
    """

    image: bytes
    cards: Mapping[str, bytes]
    assets: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def is_png(data: bytes) -> bool:
    """Return True if the content begins as a PNG file does."""
    return data.startswith(_SIGNATURE)


def read_png_card(data: bytes, name: str) -> PngCard:
    """Return the cards in a PNG file. Raise CardError for a file that is cut off, or a card that cannot be read."""
    kept, cards, assets, notes = [_SIGNATURE], dict[str, bytes](), dict[str, bytes](), list[str]()
    broken: list[str] = []
    room = _MOST_ASSETS
    for kind, content, whole, sound in _chunks(data, name):
        text = _text_of(kind, content, name)
        keyword = text[0].lower() if text else ""
        if text and keyword in CARD_KEYWORDS:
            decoded = decode_card_text(text[1])
            if decoded is None:
                broken.append(keyword)
            elif keyword not in cards or not _is_json(cards[keyword]):
                cards[keyword] = decoded
                if not sound:
                    notes.append(f"The chunk {keyword} of {name} has a wrong checksum, but its card could be read.")
        elif text and keyword.startswith(_ASSET):
            asset = decode_card_text(text[1])
            room -= len(asset or b"")
            if asset is None or room < 0:
                notes.append(f"A file inside of {name} could not be read and was left out.")
            else:
                assets[text[0][len(_ASSET) :]] = asset
        else:
            kept.append(whole)
    if broken and not cards:
        raise CardError(
            f"{name} has a character card, but its chunk {broken[-1]} is damaged. Download the card again, or export "
            "it again in the program that made it."
        )
    notes += [f"The chunk {keyword} of {name} is damaged and was left out." for keyword in dict.fromkeys(broken)]
    return PngCard(b"".join(kept), cards, assets, tuple(notes))


def read_png_text(data: bytes, keyword: str, name: str) -> bytes | None:
    """Return what the chunk with this keyword encodes, None without one. Raise CardError like `read_png_card`."""
    for kind, content, _, _ in _chunks(data, name):
        text = _text_of(kind, content, name, (keyword,))
        if text and (decoded := decode_card_text(text[1])) is not None:
            return decoded
    return None


def has_png_card(head: bytes, name: str) -> bool:
    """Return True if this PNG file has the chunk of a card."""
    try:
        return any(
            kind in (b"tEXt", b"iTXt", b"zTXt") and _keyword(content).lower() in CARD_KEYWORDS
            for kind, content, _, _ in _chunks(head, name)
        )
    except CardError:
        return False


def write_png_card(image: bytes, cards: Mapping[str, bytes], assets: Mapping[str, bytes], name: str) -> bytes:
    """Return a PNG file with these cards and files in it, in place of those that it had. Raise CardError."""
    added = [
        *(_text_chunk(f"{_ASSET}{path}", content) for path, content in assets.items()),
        *(_text_chunk(keyword, content) for keyword, content in cards.items()),
    ]
    kept: list[bytes] = []
    for kind, _, whole, _ in _chunks(read_png_card(image, name).image, name):
        kept += [*(added if kind == b"IEND" else ()), whole]
    return b"".join([_SIGNATURE, *kept])


def plain_picture(width: int = 256, height: int = 384) -> bytes:
    """Return a PNG file of one colour, for a card without a picture."""
    row = b"\x00" + bytes((0x9F, 0xB8, 0xA8)) * width
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(row * height, 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def decode_card_text(text: bytes) -> bytes | None:
    """Return what a chunk's text encodes, or None if it is neither base64 nor JSON.

    Programs write standard or URL-safe base64, with or without padding, in one line or several, and some plain JSON.
    """
    plain = text.strip(b" \t\r\n\x00\xef\xbb\xbf")
    if plain[:1] in (b"{", b"["):
        return plain
    compact = re.sub(rb"\s+", b"", plain).translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    if not compact or len(compact) % 4 == 1:
        return None
    try:
        return base64.b64decode(compact + b"=" * (-len(compact) % 4), validate=True)
    except binascii.Error:
        return None


def _is_json(card: bytes) -> bool:
    try:
        json.loads(card)
    except (ValueError, RecursionError):
        return False
    return True


def _chunks(data: bytes, name: str) -> Iterator[tuple[bytes, bytes, bytes, bool]]:
    """Yield (kind, content, the whole chunk, whether its checksum is right), up to the chunk that ends the picture."""
    if not is_png(data):
        raise CardError(f"{name} is no PNG file. Choose a character card as PNG, JSON, YAML or CHARX.")
    place = len(_SIGNATURE)
    while place < len(data):
        head = data[place : place + 8]
        length = int.from_bytes(head[:4], "big")
        end = place + 12 + length
        if len(head) < 8 or end > len(data):
            raise CardError(f"{name} is damaged: it ends in the middle of a chunk. Download it again.")
        kind, content = head[4:], data[place + 8 : end - 4]
        sound = zlib.crc32(content, zlib.crc32(kind)) == int.from_bytes(data[end - 4 : end], "big")
        yield kind, content, data[place:end], sound
        if kind == b"IEND":
            return
        place = end
    raise CardError(f"{name} is damaged: its end is missing. Download it again.")


def _keyword(content: bytes) -> str:
    return content.partition(b"\x00")[0].decode("latin-1")


def _text_of(
    kind: bytes, content: bytes, name: str, wanted: tuple[str, ...] = (*CARD_KEYWORDS, _ASSET)
) -> tuple[str, bytes] | None:
    """Return the (keyword, text) of a chunk with text, or None. `wanted`: what the keyword begins with."""
    if kind not in (b"tEXt", b"zTXt", b"iTXt"):
        return None
    keyword, text = _keyword(content), content.partition(b"\x00")[2]
    if not keyword.lower().startswith(wanted):
        return None
    packed = False
    if kind == b"zTXt":
        packed, text = True, text[1:]
    elif kind == b"iTXt":
        # A flag and a method, then language and translated keyword, each ended by a null.
        packed, rest = text[:1] == b"\x01", text[2:]
        text = rest.partition(b"\x00")[2].partition(b"\x00")[2]
    if packed:
        try:
            text = zlib.decompressobj().decompress(text, _MOST_BASE64 + 1)
        except zlib.error:
            text = b""
    if len(text) > _MOST_BASE64:
        raise CardError(f"{name} has a card of more than {_MOST_TEXT >> 20} MB. Choose a smaller one.")
    return keyword, text


def _text_chunk(keyword: str, content: bytes) -> bytes:
    return _chunk(b"tEXt", keyword.encode("latin-1", "replace") + b"\x00" + base64.b64encode(content))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
