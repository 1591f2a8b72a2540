#!/usr/bin/env python3
"""Paddock: `python3 webui.py` sets itself up, loads the demo model and serves the page; --help lists the rest."""

from __future__ import annotations

import os
import sys


def main() -> int:
    """Make sure of the host's packages, then hand over. Returns the process's exit status."""
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
    """Take what PYTHONPATH names out of the way before anything is imported, unless the user's Python is wanted."""
    here = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - pathlib may be another's
    if "--no-venv" not in sys.argv:
        foreign = {os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path}  # noqa: PTH100
        sys.path[:] = [path for path in sys.path if path not in foreign]
    if here not in sys.path:
        sys.path.insert(0, here)


if __name__ == "__main__":
    sys.exit(main())
