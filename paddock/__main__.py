"""The command `paddock` of an installed package. It does what `python3 webui.py` does in a checkout.

The package contains the program in its folder `_app`. Models, user data and the loaders' environments are in the user's
data folder of the system, so an upgrade does not change them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import paddock


def main() -> int:
    """Run the command line. Return the exit status: 0, 1 for an error, 130 for Ctrl+C."""
    from modules.cli.parser import run

    root = paddock.program_folder()
    if (root / "webui.py").is_file():
        return run(root, sys.argv[1:])
    import platformdirs

    data = Path(platformdirs.user_data_dir("paddock", appauthor=False))
    if not {"-h", "--help", "--version"} & set(sys.argv[1:]):
        _copy_demo(root / "models", data / "models")
    return run(root, sys.argv[1:], data)


def _copy_demo(shipped: Path, models: Path) -> None:
    """Create the models folder with the demo model. An existing folder is not changed."""
    if models.is_dir():
        return
    partial = models.with_name(".models.partial")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(shipped, partial)
    partial.rename(models)


if __name__ == "__main__":
    sys.exit(main())
