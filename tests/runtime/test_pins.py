"""Requirements files in steps, and uv's arguments for each of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.protocol.errors import EnvironmentBroken
from modules.runtime.pins import Step, steps

ROOT = Path(__file__).resolve().parents[2]
USER = ["--default-index", "https://mirror.test", "--find-links", "/wheels", "--allow-insecure-host", "mirror.test"]


def test_a_step_takes_the_users_indexes_and_its_own_flags() -> None:
    first, second = steps("a==1\n# paddock: then --no-deps --config-setting cmake.define.GGML_CUDA=on\nb==1\n", "f")
    assert first.arguments(USER) == USER
    assert second.arguments(USER) == [*USER, "--no-deps", "--config-setting", "cmake.define.GGML_CUDA=on"]


def test_more_lines_add_flags_to_a_step() -> None:
    _, second, third = steps(
        "a==1\n# paddock: then --no-deps\n# paddock: and --no-build-isolation\n\n"
        "# paddock: and --config-setting a=b\nb==1\n# paddock: then --no-deps\nc==1\n",
        "f",
    )
    assert second.flags == ("--no-deps", "--no-build-isolation", "--config-setting", "a=b")
    assert (second.count, third.flags) == (1, ("--no-deps",))


@pytest.mark.parametrize(
    "text", ["# paddock: and --no-deps\nb==1\n", "# paddock: then --no-deps\nb==1\n# paddock: and --no-deps\n"]
)
def test_flags_without_the_beginning_of_a_step_are_refused(text: str) -> None:
    with pytest.raises(EnvironmentBroken, match="paddock: and"):
        steps(text, "f")


@pytest.mark.parametrize(
    "file", sorted((ROOT / "loaders" / "llamacpp").glob("requirements*.txt")), ids=lambda file: file.name
)
def test_each_build_of_llama_cpp_leaves_out_what_is_not_used(file: Path) -> None:
    flags = steps(file.read_text(encoding="utf-8"), file.name)[-1].flags
    settings = {"cmake.source-dir=vendor/llama.cpp", "cmake.define.LLAMA_BUILD_COMMON=off"}
    assert settings <= set(flags) and flags[0] == "--no-deps"


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
