"""Images are written again before a model sees them: upright, in RGB, not too large, whatever was sent."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from modules.chat.attachments.image_reader import SHOWN_PIXELS
from modules.chat.attachments.model_images import ImageError, ModelImages
from tests.support.pictures import BLUE, RED, png, png_of


def _file(image: Image.Image, kind: str, **options: object) -> bytes:
    whole = io.BytesIO()
    image.save(whole, kind, **options)
    return whole.getvalue()


@pytest.fixture
def images(tmp_path: Path) -> ModelImages:
    return ModelImages(tmp_path / "images")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_every_format_becomes_a_png(images: ModelImages, kind: str) -> None:
    path = images.add(_file(Image.new("RGB", (40, 30), "red"), kind))
    with Image.open(path) as found:
        assert (found.format, found.mode, found.size) == ("PNG", "RGB", (40, 30))
        red, green, blue = found.getpixel((20, 15))  # type: ignore[misc]
    assert red > 240 and green < 15 and blue < 15


def test_the_same_image_is_read_once(images: ModelImages) -> None:
    path = Path(images.add(png(RED)))
    made = path.stat().st_mtime_ns
    os.utime(path, ns=(made - 10**12, made - 10**12))
    assert images.add(png(RED)) == str(path)
    assert path.stat().st_mtime_ns > made - 10**12  # it counts as used
    assert images.add(png(BLUE)) != str(path)


def test_a_large_image_is_reduced(images: ModelImages) -> None:
    with Image.open(images.add(_file(Image.new("RGB", (6000, 3000), "red"), "JPEG"))) as found:
        width, height = found.size
    assert SHOWN_PIXELS * 0.9 < width * height <= SHOWN_PIXELS
    assert width / height == pytest.approx(2, rel=0.01)


def test_a_rotated_photo_is_upright(images: ModelImages) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    with Image.open(images.add(_file(Image.new("RGB", (40, 20), "red"), "JPEG", exif=exif))) as found:
        assert found.size == (20, 40)


def test_transparent_parts_are_white(images: ModelImages) -> None:
    with Image.open(images.add(_file(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG"))) as found:
        assert found.getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is no image that can be read here. Send it as PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "is no image that can be read here"),
        (png(RED)[:60], "is damaged"),
        (png_of(b"", 50_000, 50_000), "has 50,000 × 50,000 pixels, and at most 50 million are read. Make it smaller."),
        (bytes(50_000_001), "has more than 50 MB. Make it smaller."),
    ],
)
def test_what_cannot_be_read_gets_a_sentence(images: ModelImages, data: bytes, words: str) -> None:
    with pytest.raises(ImageError, match="^photo ") as caught:
        images.add(data, "photo")
    assert words in caught.value.message


def test_reading_for_too_long_gets_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="was not read within"):
        ModelImages(tmp_path / "images", seconds=0.0).add(png(RED))


def test_a_missing_file_gets_a_sentence(images: ModelImages, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.png cannot be read"):
        images.add_file(tmp_path / "a.png")


def test_what_this_process_wrote_is_removed_at_the_end(images: ModelImages) -> None:
    path = Path(images.add(png(RED)))
    other = path.with_name("other.png")
    other.write_bytes(b"")
    images.close()
    assert not path.exists() and other.exists()


def test_old_images_are_removed_when_others_come(images: ModelImages) -> None:
    old = Path(images.add(png(RED)))
    os.utime(old, (1, 1))
    new = Path(images.add(png(BLUE)))
    assert not old.exists() and new.exists()
