"""Every list of names is text, whatever bytes the names of files are made of."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from modules.chat.characters import Characters
from modules.chat.roleplay.lorebooks import Lorebooks
from modules.chat.roleplay.personas import Personas
from modules.files.printable_name import printable_name
from modules.generation.presets import Presets
from modules.plugins.folders import discover

_LISTS = {
    ".yaml": (Characters, Personas, lambda folder: Presets(folder / "none", folder)),
    ".json": (Characters, Lorebooks),
}


@pytest.mark.skipif(sys.platform != "linux", reason="Other file systems refuse names that are no text")
@pytest.mark.parametrize(("ending", "make"), [(ending, make) for ending, all in _LISTS.items() for make in all])
def test_a_name_that_is_no_text_is_shown_as_one(tmp_path: Path, ending: str, make: type[Characters]) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9" + ending.encode())).write_text("{}")
    (name,) = make(tmp_path).names()
    assert name == "caf\ufffd"


@pytest.mark.skipif(sys.platform != "linux", reason="Other file systems refuse names that are no text")
def test_an_extension_whose_name_is_no_text_is_listed(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    (folder / "extension.py").write_text("")
    assert list(discover([tmp_path])) == ["caf\ufffd"]


def test_names_that_are_text_stay_as_they_are() -> None:
    assert printable_name("Zoë 猫 🐈") == "Zoë 猫 🐈"
