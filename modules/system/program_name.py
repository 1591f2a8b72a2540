"""The command that starts Paddock, for sentences whose next step is a command."""

from __future__ import annotations

import os
from pathlib import Path

# Stands for the command in errors of workers, which do not know how the host was started.
PLACEHOLDER = "{program}"


def program_name() -> str:
    """Return the command that starts this Paddock: "python3 webui.py" in a checkout, "paddock" if it is installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / "webui.py").is_file():
        return "paddock"
    return f"{'py' if os.name == 'nt' else 'python3'} webui.py"


def fill_program_name(text: str) -> str:
    """Return `text` with the command in place of "{program}"."""
    return text.replace(PLACEHOLDER, program_name())
