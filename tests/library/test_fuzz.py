"""Files with any lost or changed bytes give facts or a ModelError, fast and in little memory."""

from __future__ import annotations

import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modules.library import gguf, safetensors
from modules.library.detect import detect
from modules.protocol.errors import ModelError
from modules.protocol.model_facts import ModelFacts
from tests.library.writers import gguf_bytes, safetensors_bytes, write_folder

ROUNDS = 900
DEMO = Path(__file__).parents[2] / "models"
EXTREMES = (
    b"\0",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\0\0\0\0\0\0\0\x80",
    b'"',
    b"{",
    b"[",
)


def _damaged(raw: bytes, head: int, seed: int, rounds: int) -> Iterator[bytes]:
    """Yield truncated and changed versions, most of them changed in the first `head` bytes, the header."""
    chance = random.Random(seed)
    for number in range(rounds):
        if number % 3 == 0:
            yield raw[: chance.randrange(len(raw) if number % 2 else head)]
            continue
        changed = bytearray(raw)
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(head)
            bits = chance.choice(EXTREMES) if number % 3 == 1 else bytes([changed[at] ^ 1 << chance.randrange(8)])
            changed[at : at + len(bits)] = bits
        yield bytes(changed)


def _survives(read: Callable[[Path], object], path: Path, raw: bytes, head: int, rounds: int = ROUNDS) -> None:
    """Check that `read` raises nothing but ModelError for each damaged version, and soon, and refuses some of them."""
    refused = 0
    tracemalloc.start()
    try:
        for damaged in _damaged(raw, head, 7, rounds):
            path.write_bytes(damaged)
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            begin = time.process_time()
            try:
                facts = read(path)
            except ModelError as error:
                assert error.message.endswith(".")
                refused += 1
            else:
                refused += bool(isinstance(facts, ModelFacts) and facts.problems)
            assert time.process_time() - begin < 1
            assert tracemalloc.get_traced_memory()[1] - before < 50 << 20
    finally:
        tracemalloc.stop()
    assert refused > rounds // 4


def test_a_damaged_gguf_header_gives_a_header_or_a_model_error(tmp_path: Path) -> None:
    raw = gguf_bytes()
    _survives(gguf.read_header, tmp_path / "m.gguf", raw, 800)


def test_a_damaged_safetensors_header_gives_a_header_or_a_model_error(tmp_path: Path) -> None:
    raw = safetensors_bytes({"a": ("F16", (4, 8)), "b": ("BF16", (16,)), "c": ("I8", (3,))})
    _survives(safetensors.read_header, tmp_path / "m.safetensors", raw, len(raw) - 99)


def test_a_damaged_gguf_gives_facts(tmp_path: Path) -> None:
    _survives(lambda path: detect(path, "m"), tmp_path / "m.gguf", gguf_bytes(), 800)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "model.safetensors"])
def test_a_damaged_folder_gives_facts(tmp_path: Path, file: str) -> None:
    folder = write_folder(tmp_path / "m", None, {"model.embed_tokens.weight": ("F16", (8, 8))})
    raw = (folder / file).read_bytes()
    _survives(lambda _: detect(folder, "m"), folder / file, raw, min(len(raw), 400), ROUNDS // 3)


def test_the_demo_model_read_whole_is_sound_and_damaged_gives_facts(tmp_path: Path) -> None:
    file = DEMO / "demo.Q8_0.gguf"
    facts = detect(file, file.name)
    assert (facts.format, facts.dtype, facts.architecture, facts.problems) == ("gguf", "Q8_0", "llama", ())
    assert detect(DEMO / "demo", "demo").parameters == facts.parameters > 4_000_000
    # Writing 6 MB each time would take long, so the tensors' data is a hole in the file.
    header = gguf.read_header(file)
    with file.open("rb") as source:
        head = source.read(header.data_offset)
    path = tmp_path / "m.gguf"

    def read(damaged: Path) -> ModelFacts:
        if damaged.stat().st_size == len(head):
            with damaged.open("r+b") as target:
                target.truncate(header.needed)
        return detect(damaged, "m")

    _survives(read, path, head, len(head), 150)
