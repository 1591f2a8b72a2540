"""Packages that scripts import without listing them as requirements."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.plugins.extension_overview import extension_statuses
from modules.plugins.requirements import RequirementsMissing
from modules.plugins.script_needs import unnamed_needs
from tests.compat.conftest import Stage

CODE = """
import torch.nn as nn
import some_unknown_package
from extensions.wide import beside
from .more.words import text
try:
    import peft
except ImportError:
    peft = None

def late():
    import scipy
"""


def test_only_known_packages_imported_at_once_are_needed(tmp_path: Path) -> None:
    folder = tmp_path / "wide"
    (folder / "more").mkdir(parents=True)
    (folder / "script.py").write_text(CODE)
    (folder / "beside.py").write_text("from transformers import AutoTokenizer\nfrom . import script")
    (folder / "more" / "words.py").write_text("import requests, os, yaml")
    assert unnamed_needs(folder, ()) == ("requests", "torch", "transformers")
    assert unnamed_needs(folder, ("Torch>=2", "transformers[torch]", "!?")) == ("requests",)


def test_a_missing_package_is_an_error_with_the_next_step(stage: Stage) -> None:
    with pytest.raises(RequirementsMissing, match=r"sentencepiece.*Extensions tab"):
        stage.script("tokens", "import sentencepiece")
    (need,) = next(status for status in extension_statuses(stage.manager) if status.name == "tokens").needs
    assert (need.name, need.state) == ("sentencepiece", "missing")
