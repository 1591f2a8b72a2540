"""Workers that the tests of one file share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modules.runtime.environment import Environments
from tests.support.gguf_quantizers import GgufQuantizers


@pytest.fixture(scope="module")
def quantizers(environments: Environments) -> Iterator[GgufQuantizers]:
    """Return what writes GGUF files in workers. They end with the tests of the file."""
    quantizers = GgufQuantizers(environments)
    yield quantizers
    quantizers.close()
