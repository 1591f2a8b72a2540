"""The mark of tests that take minutes each, which `python3 -m tests --all` runs and `.ci/run` does not."""

from __future__ import annotations

import os

import pytest

# `python3 -m tests --all` sets it.
VARIABLE = "PADDOCK_TEST_LONG"


def not_asked() -> str:
    """Return a sentence that says why a test that takes minutes does not run, or ""."""
    return "" if os.environ.get(VARIABLE) else f"It takes minutes. Set {VARIABLE}=1 to run it."


takes_minutes = pytest.mark.skipif(bool(not_asked()), reason=not_asked())
