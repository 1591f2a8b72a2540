#!/usr/bin/env python3
"""Paddock: `python3 webui.py` installs what it needs, loads the demo model and serves the page. See --help."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Install the host's packages if they are missing, then run the command. Return the exit status."""
    _own_modules_first()
    from pathlib import Path

    from modules.system import bootstrap

    root = Path(__file__).resolve().parent
    bootstrap.ensure(root, sys.argv)
    try:
        from modules.cli.parser import run

        return run(root, sys.argv[1:])
    except ImportError as error:
        bootstrap.repair(root, sys.argv, error)


def _own_modules_first() -> None:
    """Remove the folders of PYTHONPATH from sys.path before other imports, unless --no-venv is set."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - PYTHONPATH may have another pathlib
    if "--no-venv" not in sys.argv:
        foreign = {os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}  # noqa: PTH100
        sys.path[:] = [path for path in sys.path if path not in foreign]
    if here not in sys.path:
        sys.path.insert(0, here)


if __name__ == "__main__":
    sys.exit(main())
