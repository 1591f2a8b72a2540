"""NVIDIA's own package asks an NVML that is made for the test, in a separate process whose loader finds it first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modules.library.card_state import CardProcess, CardState, bytes_of, describe_health, describe_others
from modules.protocol.model_facts import Gpu
from tests.support.nvml import GIGABYTE, TWO_CARDS, make_nvml, nvml_variables

ROOT = Path(__file__).resolve().parents[2]
ASK = """
import dataclasses, json, sys
from modules.library.cards_now import card_memory_of, other_programs, read_cards
from modules.library.machine import inspect_machine
print(json.dumps({
    "cards": [dataclasses.asdict(card) for card in read_cards()],
    "gpus": [dataclasses.asdict(gpu) for gpu in inspect_machine().gpus],
    "used": card_memory_of([4242]),
    "others": other_programs(),
}))
"""

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the library."""
    return make_nvml(tmp_path_factory.mktemp("nvml"))


@pytest.fixture
def ask(library: Path, tmp_path: Path) -> Ask:
    """Run code in a process that finds the library, with the cards of a text."""

    def run(text: str, code: str = ASK, **variables: str) -> dict[str, Any]:
        environment = {**os.environ, **nvml_variables(library, tmp_path / "cards.txt", text)}
        answer = subprocess.run(
            [sys.executable, "-c", code],
            env={**environment, **variables},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        return dict(json.loads(answer.stdout))

    return run


def test_cards_their_memory_and_their_state_are_read(ask: Ask) -> None:
    first, second = ask(TWO_CARDS)["cards"]
    assert first["gpu"] == {
        "kind": "cuda",
        "name": "NVIDIA GeForce RTX 4090",
        "total_bytes": 24 * GIGABYTE,
        "free_bytes": 16 * GIGABYTE,
        "architecture": "8.9",
        "driver": "570.86.10",
        "api": "12.8",
    }
    assert (first["celsius"], first["megahertz"], first["top_megahertz"], first["slowed_by"]) == (
        83,
        1410,
        2520,
        "heat",
    )
    # What this card does not say is left out.
    assert (second["celsius"], second["megahertz"], second["slowed_by"]) == (0, 0, "")


def test_the_machine_has_these_cards_and_the_users_variable_hides_them(ask: Ask) -> None:
    assert [gpu["name"] for gpu in ask(TWO_CARDS)["gpus"]] == ["NVIDIA GeForce RTX 4090", "NVIDIA T4"]
    assert [gpu["name"] for gpu in ask(TWO_CARDS, CUDA_VISIBLE_DEVICES="GPU-bbbb")["gpus"]] == ["NVIDIA T4"]


def test_memory_is_counted_for_each_process_and_other_programs_are_named(ask: Ask) -> None:
    answer = ask(TWO_CARDS)
    assert answer["used"] == 7 * GIGABYTE
    assert answer["others"] == (
        "NVIDIA GeForce RTX 4090 is also used by ollama (6.4 GB), Xorg (1.1 GB). "
        "NVIDIA T4 is also used by ollama (1.1 GB)."
    )


def test_a_card_that_says_nothing_and_a_driver_that_fails_are_no_error(ask: Ask) -> None:
    silent = ask("driver 610.1 13040\ncard GPU-c Orin -1 -1 -1 -1 -1 -1 -1 -1\n")
    assert [(gpu["name"], gpu["total_bytes"], gpu["api"]) for gpu in silent["gpus"]] == [("Orin", 0, "13.4")]
    assert ask("", FAKE_NVML="/nowhere")["cards"] == []


def test_a_plan_for_a_full_card_names_who_fills_it(ask: Ask) -> None:
    full = f"""driver 595.71.05 13020
card GPU-a NVIDIA_GeForce_RTX_4090 {24 * GIGABYTE} 1000 8 9 40 300 2520 0
process 0 4242 {23 * GIGABYTE} /usr/bin/ollama
"""
    code = """
import json, tempfile
from pathlib import Path
from modules.app import App
from modules.settings.config import Config
folder = Path(tempfile.mkdtemp())
app = App(Config(Path.cwd(), user_data=folder / "user_data", data=folder, models=Path.cwd() / "models"))
spec = app.registry.get("xllamacpp")
advice = app.planner.advise(app.library.facts("demo.Q8_0.gguf"), spec, spec.settings())
variant = app.environments.choice(spec).state.variant.name
print(json.dumps({"variant": variant, "obstacle": advice.obstacle, "devices": [s.device for s in advice.plan.shares]}))
app.close()
"""
    answer = ask(full, code)
    assert answer["variant"] == "cuda13"
    assert answer["devices"] == ["Main memory", "NVIDIA GeForce RTX 4090"]
    assert "NVIDIA GeForce RTX 4090's memory, where" in answer["obstacle"]
    assert answer["obstacle"].endswith("NVIDIA GeForce RTX 4090 is also used by ollama (24.7 GB).")


def test_what_a_card_reports_is_put_into_words() -> None:
    card = CardState(
        "a",
        Gpu("cuda", "A", 8, 4),
        (CardProcess(1, "paddock", 5), CardProcess(2, "Xorg"), CardProcess(3, "ollama", 2 * GIGABYTE)),
        83,
        1410,
        2520,
        "heat",
    )
    assert describe_health(card) == "83 °C, 1,410 of 2,520 MHz, slowed down by heat"
    assert describe_health(CardState("a", Gpu("cuda", "A"))) == ""
    assert describe_others(card, {1}) == "ollama (2.1 GB), Xorg"
    assert bytes_of([card, card], [1, 3]) == 2 * (5 + 2 * GIGABYTE)


def test_a_loaded_models_use_of_a_card_is_shown_measured_and_comes_back(ask: Ask, tmp_path: Path) -> None:
    code = f"""
import json, os
from pathlib import Path
from modules.app import App
from modules.library.cards_now import free_on_cards
from modules.settings.config import Config
from modules.ui import model_card
from tests.support.models import write_model_folder
folder = Path({str(tmp_path)!r})
write_model_folder(folder / "models" / "tiny")
app = App(Config(Path.cwd(), user_data=folder / "user_data", data=folder, models=folder / "models", show_echo=True))
app.models.load("tiny", "echo")
before, file = free_on_cards(), Path(os.environ["FAKE_NVML"])
empty = file.read_text()
file.write_text(empty.replace(str({16 * GIGABYTE}), str({13 * GIGABYTE})) +
    f"process 0 {{app.supervisor.worker_pid()}} {3 * GIGABYTE} /usr/bin/python\\n")
answer = {{"used": app.supervisor.card_bytes(), "card": model_card.status(app)}}
held = before - free_on_cards()
app.supervisor.unload()
file.write_text(empty)
print(json.dumps({{**answer, "held": held, "left": app.supervisor.card_bytes(), "free": free_on_cards() - before}}))
app.close()
"""
    answer = ask(TWO_CARDS, code)
    assert (answer["used"], answer["held"]) == (3 * GIGABYTE, 3 * GIGABYTE)
    assert (answer["left"], answer["free"]) == (0, 0)
    assert "<dt>On graphics cards</dt><dd>3.2 GB</dd>" in answer["card"]
    # The worker is Paddock's own, so only the others are named.
    assert (
        "<dt>NVIDIA GeForce RTX 4090</dt><dd>14.0 GB of 25.8 GB free; 83 °C, 1,410 of 2,520 MHz, slowed down by heat; "
        "also used by ollama (6.4 GB), Xorg (1.1 GB)</dd>" in answer["card"]
    )
