"""The mark of tests that take minutes each, which `python3 -m tests --all` runs and `.ci/run` does not."""

from __future__ import annotations

import os

import pytest

# `python3 -m tests --all` sets it.
VARIABLE = "PADDOCK_TEST_LONG"

takes_minutes = pytest.mark.skipif(
    not os.environ.get(VARIABLE), reason=f"It takes minutes. Set {VARIABLE}=1 to run it."
)
