"""The shipped extension that draws diagrams: what it draws, and what it answers where it cannot."""

from __future__ import annotations

import shutil
from importlib import import_module
from types import ModuleType

import pytest

from tests.conftest import ROOT
from tests.plugins.conftest import Place

pytest.importorskip("mermaidx", reason="mermaidx is not installed: python3 -m tests installs it")


@pytest.fixture
def diagrams(place: Place) -> ModuleType:
    """Return the module of the extension, which is on."""
    shutil.rmtree(place.root)
    shutil.copytree(ROOT / "extensions", place.root, ignore=shutil.ignore_patterns("__pycache__"))
    place.manager.enable("mermaid")
    assert place.status("mermaid").state == "on"
    return import_module("paddock_extensions.mermaid.extension")


def test_a_diagram_becomes_an_image_with_its_size(diagrams: ModuleType) -> None:
    drawn = diagrams.draw("flowchart TD\n  A[Paddock] --> B{Is it open?}\n", 60)
    assert drawn["svg"].startswith("<svg") and "Paddock" in drawn["svg"]
    assert drawn["width"] > 20 and drawn["height"] > 50


def test_what_is_no_diagram_gets_a_sentence(diagrams: ModuleType) -> None:
    for source in ("flowchart TD\n  A[[[", "hello", ""):
        answer = diagrams.draw(source, 60)
        assert set(answer) == {"error"} and answer["error"].startswith("This is no diagram"), source
    assert "50,000 characters" in diagrams.draw("x" * 50_001, 60)["error"]


def test_a_diagram_that_takes_too_long_is_given_up(diagrams: ModuleType) -> None:
    assert "longer than 0.01 seconds" in diagrams.draw("flowchart TD\n  A --> B", 0.01)["error"]
