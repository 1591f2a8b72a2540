"""`python3 -m tests [ARGS for pytest]`: make what the tests need, then run all that this machine can run.

`--lint` runs the static checks instead (tests/lint.py).
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Set up, run pytest or the static checks, and return the exit status."""
    from modules.system import bootstrap

    root = Path(__file__).resolve().parent.parent
    bootstrap.ensure(root, ["-m", "tests", *sys.argv[1:]], ("host.txt", "dev.txt"))
    arguments = [argument for argument in sys.argv[1:] if argument != "--no-venv"]
    if arguments == ["--lint"]:
        from tests.lint import lint

        return lint(root)

    import pytest

    return int(pytest.main(["--rootdir", str(root), *arguments]))


if __name__ == "__main__":
    sys.exit(main())
