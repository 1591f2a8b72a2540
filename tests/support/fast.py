"""The plugin of pytest that chooses the tests of `python3 -m tests --fast`: `-p tests.support.fast`.

It leaves out the folders in FOLDERS, and each file that says that it is slow: it asks for `environments`, imports
helpers of SLOW_HELPERS, or has `pytestmark = pytest.mark.slow`. Files that are left out are not imported.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

# Folders of `tests` that try engines, browsers, foreign programs or foreign extensions.
FOLDERS = ("browser", "clients", "compat", "conformance", "contract", "loaders", "system")
# Helpers that install, load engines, or start browsers and other programs.
SLOW_HELPERS = (
    "browser.conftest",
    "jobs.test_methods",
    "support.attacks",
    "support.environments",
    "support.gguf_quantizers",
    "support.nginx",
    "support.nvml",
    "support.quantize",
    "support.wheels",
)
_SLOW = re.compile(
    rf"^from tests\.({'|'.join(map(re.escape, SLOW_HELPERS))}) import"
    r"|\benvironments: Environments\b"
    r"|^pytestmark = (?:\[\s*)?pytest\.mark\.slow\b",
    re.MULTILINE,
)
_TESTS = Path(__file__).resolve().parent.parent


def is_slow(path: Path) -> bool:
    """Return True if `python3 -m tests --fast` leaves out this folder or file of `tests`."""
    if path.is_dir():
        return path.parent == _TESTS and path.name in FOLDERS
    return path.name.startswith("test_") and _SLOW.search(path.read_text(encoding="utf-8")) is not None


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out what is slow. None leaves the choice to others."""
    return is_slow(collection_path) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out single tests that are marked as slow."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
