"""Requirements files in steps, and uv's arguments for each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.runtime.pins import Step, steps

ROOT = Path(__file__).resolve().parents[2]
USER = ["--default-index", "https://mirror.test", "--find-links", "/wheels", "--allow-insecure-host", "mirror.test"]


def test_a_step_takes_the_users_indexes_and_its_own_flags() -> None:
    first, second = steps("a==1\n# paddock: then --no-deps --config-setting cmake.define.GGML_CUDA=on\nb==1\n", "f")
    assert first.arguments(USER) == USER
    assert second.arguments(USER) == [*USER, "--no-deps", "--config-setting", "cmake.define.GGML_CUDA=on"]


def test_an_index_of_a_step_takes_the_place_of_the_users_but_not_of_a_folder_offline() -> None:
    own = ("--no-deps", "--default-index", "https://cards.test")
    assert Step("b==1\n", own).arguments(USER) == ["--allow-insecure-host", "mirror.test", *own]
    offline = ["--no-index", "--find-links", "/wheels"]
    assert Step("b==1\n", own).arguments(offline) == [*offline, "--no-deps"]


@pytest.mark.parametrize("file", sorted(ROOT.glob("loaders/*/requirements*.txt")), ids=lambda file: str(file)[-40:])
def test_every_shipped_file_can_be_read_and_pins_exactly(file: Path) -> None:
    found = steps(file.read_text(encoding="utf-8"), file.name)
    assert sum(step.count for step in found) > 0
    for step in found:
        lines = (line.split(";")[0].strip() for line in step.text.splitlines())
        assert all("==" in line for line in lines if line and not line.startswith("#")), file


@pytest.mark.parametrize("loader", ["xllamacpp", "llamacpp"])
def test_the_files_of_all_variants_pin_the_same_versions(loader: str) -> None:
    def pins(file: Path) -> list[str]:
        lines = file.read_text(encoding="utf-8").splitlines()
        return sorted(line for line in lines if line and not line.startswith("#"))

    files = list((ROOT / "loaders" / loader).glob("requirements*.txt"))
    assert len(files) > 3
    assert len({tuple(pins(file)) for file in files}) == 1
