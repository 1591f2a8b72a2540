"""`python3 -m tests [ARGS for pytest]`: makes what the tests need, then runs all that this machine can run."""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Set up, run pytest, and return its exit status."""
    from modules import bootstrap

    root = Path(__file__).resolve().parent.parent
    bootstrap.ensure(root, ["-m", "tests", *sys.argv[1:]], ("host.txt", "dev.txt"))

    import pytest

    return int(
        pytest.main(["--rootdir", str(root), *[argument for argument in sys.argv[1:] if argument != "--no-venv"]])
    )


if __name__ == "__main__":
    sys.exit(main())
