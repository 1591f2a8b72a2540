"""Fixtures for tests of jobs: workers that the tests of one file share, and short answers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modules.jobs import checks
from modules.runtime.environment import Environments
from tests.support.gguf_quantizers import GgufQuantizers


@pytest.fixture(scope="module")
def quantizers(environments: Environments) -> Iterator[GgufQuantizers]:
    """Return what writes GGUF files in workers. They end with the tests of the file."""
    quantizers = GgufQuantizers(environments)
    yield quantizers
    quantizers.close()


@pytest.fixture
def short_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an evaluation ask for a few tokens of each answer, where a test is about its other numbers."""
    monkeypatch.setattr(checks, "_LONGEST_ANSWER", 8)
