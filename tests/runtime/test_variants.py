"""Variants of an engine for graphics cards: chosen by the machine, by the user, or because a better one failed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from loaders.echo.spec import SPEC as ECHO
from loaders.llamacpp.spec import SPEC as LLAMACPP
from loaders.transformers.spec import SPEC as TRANSFORMERS
from loaders.xllamacpp.spec import SPEC as XLLAMACPP
from modules.library.nvidia_cards import cuda_of_driver
from modules.protocol.errors import EnvironmentBroken, SettingError
from modules.protocol.model_facts import Gpu, Machine
from modules.protocol.variants import Variant
from modules.runtime.environment import Environments
from modules.runtime.variants import check_name
from tests.support.wheels import make_index, make_wheel

ROOT = Path(__file__).resolve().parents[2]
BARE = Machine("linux", "x86_64", 8, 64 << 30, 60 << 30, glibc="2.39", vulkan=True)


def nvidia(name: str, capability: str, driver: str, gigabytes: int = 24) -> Gpu:
    return Gpu("cuda", name, gigabytes << 30, gigabytes << 30, capability, driver, cuda_of_driver(driver))


def amd(name: str, target: str, rocm: str) -> Gpu:
    return Gpu("rocm", name, 24 << 30, 24 << 30, target, api=rocm)


def machine(*gpus: Gpu, glibc: str = "2.39", vulkan: bool = True, compilers: tuple[str, ...] = ()) -> Machine:
    return dataclasses.replace(BARE, gpus=gpus, glibc=glibc, vulkan=vulkan, compilers=compilers)


ADA_OLD = nvidia("RTX 4090", "8.9", "535.54.03")
# (machine, the variant of xllamacpp, that of torch)
MACHINES = {
    "no card": (machine(), "cpu", "cpu"),
    "Ada, a new driver": (machine(nvidia("RTX 4090", "8.9", "595.71.05")), "cuda13", "cuda13"),
    "Ada, CUDA 13.0": (machine(nvidia("RTX 4090", "8.9", "580.65.06")), "cuda13", "cuda13"),
    "Ada, CUDA 12.2": (machine(ADA_OLD), "cuda12", "cuda12"),
    "Hopper, CUDA 13.0, which compiles for 12.8 alone": (
        machine(nvidia("H200", "9.0", "580.65.06", 141)),
        "cuda12",
        "cuda13",
    ),
    "Hopper, too old a driver to compile": (machine(nvidia("H100", "9.0", "535.54.03", 80)), "vulkan", "cuda12"),
    "Pascal": (machine(nvidia("GTX 1080", "6.1", "580.65.06", 8)), "cuda12", "cuda12"),
    "Blackwell, CUDA 12.8": (machine(nvidia("RTX 5090", "12.0", "570.86.10", 32)), "cuda12", "cpu"),
    "two unlike cards": (
        machine(nvidia("RTX 4090", "8.9", "580.65.06"), nvidia("GTX 1080", "6.1", "580.65.06", 8)),
        "cuda12",
        "cuda12",
    ),
    "Maxwell, a driver too old for each CUDA": (machine(nvidia("GTX 980", "5.2", "470.42.01", 4)), "vulkan", "cpu"),
    "the same without Vulkan": (machine(nvidia("GTX 980", "5.2", "470.42.01", 4), vulkan=False), "cpu", "cpu"),
    "an old system": (machine(nvidia("RTX 4090", "8.9", "595.71.05"), glibc="2.31"), "vulkan", "cuda13"),
    "RDNA 3, ROCm 7": (machine(amd("RX 7900 XTX", "gfx1100", "7.1.0")), "rocm7", "rocm"),
    "RDNA 2, ROCm 6": (machine(amd("RX 6800", "gfx1030", "6.4.1")), "rocm6", "rocm"),
    "RDNA 4, ROCm 6": (machine(amd("RX 9070", "gfx1201", "6.4.1")), "vulkan", "rocm"),
    "Intel": (machine(Gpu("vulkan", "Intel Arc A770", 16 << 30, 15 << 30)), "vulkan", "cpu"),
    "a card of which nothing is known": (machine(Gpu("cuda", "a card")), "cuda13", "cuda13"),
    "a Mac": (
        Machine("darwin", "arm64", 8, 16 << 30, 12 << 30, (Gpu("metal", "Apple silicon", 16 << 30, 12 << 30),)),
        "cpu",
        "cpu",
    ),
}


@pytest.mark.parametrize("name", MACHINES)
def test_the_best_variant_that_the_machine_supports_is_chosen(name: str, tmp_path: Path) -> None:
    here, llama, torch = MACHINES[name]
    environments = Environments(tmp_path, [ROOT / "loaders"], here)
    assert environments.choice(XLLAMACPP).state.variant.name == llama
    assert environments.choice(TRANSFORMERS).state.variant.name == torch


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no card", "No graphics card was found."),
        (
            "Ada, CUDA 12.2",
            "NVIDIA's driver 535.54.03 supports CUDA 12.2, and RTX 4090 needs 13.0 for this build. Update",
        ),
        ("Hopper, CUDA 13.0, which compiles for 12.8 alone", "H200 needs 13.2 for this build. Update the driver"),
        ("two unlike cards", "It has no code for GTX 1080 (compute capability 6.1, it begins at 7.5)."),
        ("the same without Vulkan", "The graphics card is not used. CUDA 13.2: It has no code for GTX 980"),
        ("the same without Vulkan", "The Vulkan loader is missing. Install it"),
        ("an old system", "It needs glibc 2.35 or newer, and this system has 2.31."),
        ("RDNA 4, ROCm 6", "ROCm 6.4.1 is installed, and it needs ROCm 7."),
        ("RDNA 4, ROCm 6", "ROCm 6: It has no code for RX 9070 (gfx1201)."),
        ("a Mac", "It uses this Mac's graphics."),
    ],
)
def test_the_reason_says_what_keeps_the_machine_from_a_better_one(name: str, words: str, tmp_path: Path) -> None:
    assert words in Environments(tmp_path, [ROOT / "loaders"], MACHINES[name][0]).choice(XLLAMACPP).reason


def test_a_card_that_is_not_there_is_not_spoken_of(tmp_path: Path) -> None:
    reason = Environments(tmp_path, [ROOT / "loaders"], MACHINES["Ada, CUDA 12.2"][0]).choice(XLLAMACPP).reason
    assert "ROCm" not in reason and "Vulkan" not in reason


def test_llama_cpp_is_compiled_for_a_card_only_with_its_toolkit(tmp_path: Path) -> None:
    card = nvidia("RTX 4090", "8.9", "595.71.05")
    without = Environments(tmp_path, [ROOT / "loaders"], machine(card)).choice(LLAMACPP)
    assert without.state.variant.name == "cpu"
    assert "Compiling it needs nvcc, which is not on the search path. Install the CUDA toolkit" in without.reason
    for compiler, name in (("nvcc", "cuda"), ("glslc", "vulkan")):
        there = Environments(tmp_path, [ROOT / "loaders"], machine(card, compilers=(compiler,)))
        assert there.choice(LLAMACPP).state.variant.name == name


def test_the_cpus_environment_has_the_name_that_it_always_had(tmp_path: Path) -> None:
    plain = Environments(tmp_path, [ROOT / "loaders"], BARE)
    paths = {state.path.name for state in plain.variants(XLLAMACPP)}
    assert len(paths) == len(XLLAMACPP.variants) + 1
    assert plain.status(XLLAMACPP).path.name.count("-") == 1
    assert all(name.startswith("xllamacpp-") for name in paths)


def test_the_user_may_choose_another_one(tmp_path: Path) -> None:
    here = MACHINES["Ada, a new driver"][0]
    chosen = Environments(tmp_path, [ROOT / "loaders"], here, lambda loader: "vulkan").choice(XLLAMACPP)
    assert (chosen.state.variant.name, chosen.reason, chosen.others) == ("vulkan", "You chose this variant.", ())
    assert check_name(XLLAMACPP, "auto", here) == "" and check_name(XLLAMACPP, "cpu", here) == "cpu"
    with pytest.raises(SettingError, match="no variant 'opencl'. Choose auto, or one of: cuda13, cuda12, .*, cpu"):
        check_name(XLLAMACPP, "opencl", here)


def test_a_loader_sees_only_the_cards_that_its_variant_uses(tmp_path: Path) -> None:
    both = machine(nvidia("RTX 4090", "8.9", "595.71.05"), amd("RX 7900", "gfx1100", "7.1.0"))
    chosen = {"xllamacpp": ""}
    environments = Environments(tmp_path, [ROOT / "loaders"], both, lambda loader: chosen.get(loader, ""))
    kinds: Callable[[], list[str]] = lambda: [gpu.kind for gpu in environments.machine_for(XLLAMACPP).gpus]  # noqa: E731
    assert kinds() == ["cuda"]
    chosen["xllamacpp"] = "vulkan"
    assert kinds() == ["cuda", "rocm"]
    chosen["xllamacpp"] = "cpu"
    assert kinds() == []


PROBE = "import toyengine; toyengine.CARD or exit('no card answered')"
TOY = dataclasses.replace(
    ECHO,
    name="toy",
    title="Toy",
    requirements="requirements.txt",
    probe="import toyengine; print(toyengine.VERSION)",
    variants=(
        Variant("fast", "Fast", "cuda", "requirements-fast.txt", probe=PROBE),
        Variant("slow", "Slow", "vulkan", "requirements-slow.txt", probe=PROBE),
    ),
)


class Toy:
    """A loader with two variants from indexes of their own. `wanted`: the user's choice."""

    def __init__(self, folder: Path) -> None:
        self.wanted = ""
        self._folder = folder
        (folder / "loaders" / "toy").mkdir(parents=True)
        pins = folder / "loaders" / "toy"
        (pins / "requirements.txt").write_text("toyengine==1.0\n")
        for name in ("fast", "slow"):
            index = (folder / f"index-{name}").as_uri()
            step = f"# paddock: then --no-deps --default-index {index}\n"
            (pins / f"requirements-{name}.txt").write_text(f"toyneeds==1.0\n{step}toyengine==1.0\n")
        self.environments = Environments(
            folder / "envs", [folder / "loaders"], MACHINES["Ada, a new driver"][0], lambda loader: self.wanted
        )
        self.said: list[str] = []
        make_wheel(folder / "wheels", "toyneeds", "1.0", "")
        make_wheel(folder / "wheels", "toyengine", "1.0", "VERSION, CARD = 'for the CPU', False\n")
        for name in ("fast", "slow"):
            self.put(name, f"VERSION, CARD = 'for {name}', True\n")

    def put(self, index: str, code: str) -> None:
        """Put an engine into an index."""
        make_wheel(self._folder / f"wheels-{index}", "toyengine", "1.0", code)
        make_index(self._folder / f"index-{index}", self._folder / f"wheels-{index}")

    def build(self, **options: bool | str) -> str:
        """Build the environment. Return the engine's version."""
        self.environments.build(TOY, lambda text, fraction: self.said.append(text), **options)  # type: ignore[arg-type]
        return self.environments.status(TOY).engine


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    made = Toy(tmp_path)
    make_index(tmp_path / "index", tmp_path / "wheels")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", (tmp_path / "index").as_uri())
    # The engine for the CPU has the same version: it must not come from here.
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    # Each test has other wheels with the same name.
    monkeypatch.setenv("UV_NO_CACHE", "1")
    return made


def test_a_variant_comes_from_its_own_index(toy: Toy) -> None:
    assert toy.build() == "for fast"
    status = toy.environments.status(TOY)
    assert status.variant and (status.variant.name, status.reason) == ("fast", "The best that this machine supports.")
    assert json.loads((status.path / "paddock.json").read_text())["variant"] == "fast"


def test_an_engine_that_cannot_be_imported_gives_way_to_the_next_variant(toy: Toy) -> None:
    toy.put("fast", "raise ImportError('libcudart.so.13: no such thing')\n")
    assert toy.build() == "for slow"
    status = toy.environments.status(TOY)
    assert status.reason.startswith(
        "The best that this machine supports. Fast: Toy was installed, but its engine cannot"
    )
    assert any(text.startswith("Fast: Toy was installed") and text.endswith("Trying Slow") for text in toy.said)
    # A load does not try it again, an install does.
    toy.said.clear()
    assert toy.build() == "for slow" and toy.said == []
    toy.put("fast", "VERSION, CARD = 'for fast', True\n")
    assert toy.build(retry=True) == "for fast"


def test_an_engine_that_finds_no_card_gives_way_too_and_the_cpu_is_the_last(toy: Toy) -> None:
    for name in ("fast", "slow"):
        toy.put(name, "VERSION, CARD = 'blind', False\n")
    assert toy.build() == "for the CPU"
    reason = toy.environments.status(TOY).reason
    assert reason.startswith("The graphics card is not used.")
    assert "Toy for Fast was installed, but cannot use the graphics card: no card answered." in reason


def test_an_engine_that_crashes_where_it_is_imported_gives_way_too(toy: Toy) -> None:
    toy.put("fast", "import os, signal; os.kill(os.getpid(), signal.SIGILL)\n")
    toy.put("slow", "VERSION, CARD = 'for slow', False\n")
    assert toy.build() == "for the CPU"
    reason = toy.environments.status(TOY).reason
    assert "Toy was installed, but its engine ended by SIGILL when it was imported. This processor may lack" in reason
    # The choice is kept by the next start.
    before = toy.environments
    again = Environments(before._folder, before._loaders, before.machine)
    assert "SIGILL" in again.status(TOY).reason and again.status(TOY).engine == "for the CPU"


def test_an_index_without_the_wheel_gives_way_too(toy: Toy, tmp_path: Path) -> None:
    (tmp_path / "index-fast" / "toyengine" / "index.html").write_text("<!DOCTYPE html>\n")
    assert toy.build() == "for slow"


def test_a_variant_that_was_named_is_the_only_one_tried(toy: Toy) -> None:
    toy.put("fast", "raise ImportError('no')\n")
    with pytest.raises(EnvironmentBroken, match="cannot be imported.* --variant auto") as caught:
        toy.build(variant="fast")
    assert "ImportError: no" in caught.value.detail
    assert toy.build(variant="cpu") == ""
    toy.wanted = "cpu"
    assert toy.environments.status(TOY).engine == "for the CPU"


def test_if_no_variant_can_be_installed_the_last_error_is_shown_and_none_is_left_aside(
    toy: Toy, tmp_path: Path
) -> None:
    for index in ("index", "index-fast", "index-slow"):
        (tmp_path / index / "toyengine" / "index.html").write_text("<!DOCTYPE html>\n")
    (tmp_path / "wheels" / "toyengine-1.0-py3-none-any.whl").unlink()
    with pytest.raises(EnvironmentBroken):
        toy.build()
    assert all(state.usable for state in toy.environments.variants(TOY))
