#!/usr/bin/env python3
"""Paddock: `python3 webui.py` sets itself up, loads the demo model and serves the page; --help lists the rest."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Make sure of the host's packages, then hand over. Returns the process's exit status."""
    from modules import bootstrap

    root = Path(__file__).resolve().parent
    bootstrap.ensure(root, sys.argv)
    from modules.cli import run

    return run(root, sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
