"""Sentences whose next step is a command name the command that this Paddock was started with."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from modules.system.program_name import fill_program_name, program_name

_SHOW = "from modules.system.program_name import program_name; print(program_name())"


def test_a_checkout_is_started_with_webui_py() -> None:
    assert program_name().endswith("webui.py")
    assert fill_program_name("Run: {program} loaders") == f"Run: {program_name()} loaders"


def test_an_installed_package_is_started_with_its_command(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "modules" / "system"
    shutil.copytree(root / "modules" / "system", folder)
    (tmp_path / "modules" / "__init__.py").touch()
    shown = subprocess.run(
        [sys.executable, "-c", _SHOW], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert shown.strip() == "paddock"


def test_no_sentence_names_the_command_by_itself(root: Path) -> None:
    named = [
        str(path.relative_to(root))
        for folder in ("modules", "loaders", "extensions")
        for path in (root / folder).rglob("*.py")
        if "3 webui.py " in path.read_text("utf-8")
    ]
    assert named == []
