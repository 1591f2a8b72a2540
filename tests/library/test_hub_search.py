"""Searching the hub for models by name, against the hub of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modules.library.download_staging import DownloadError
from modules.library.hub_search import MOST_RESULTS, FoundModel, search_models
from tests.support.hub import Hub, hub_of


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Run a hub that has more models than a search returns."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with hub_of({}) as hub:
        hub.others = [{"id": f"maker/many-{number}", "downloads": 100 + number, "tags": None} for number in range(50)]
        hub.others += [{"id": "Tiny", "downloads": 999}, {"id": "a/TINY-2", "downloads": 8, "gated": "manual"}]
        yield hub


def test_models_are_found_by_a_part_of_their_name(hub: Hub) -> None:
    # "Tiny" has no owner, so it cannot be looked up.
    found = [FoundModel("a/TINY-2", 8, gated=True), FoundModel("maker/tiny", 7, gguf=True)]
    assert search_models(" tiny ", hub.address) == found


def test_a_search_returns_the_models_with_most_downloads(hub: Hub) -> None:
    found = search_models("many", hub.address)
    assert len(found) == MOST_RESULTS and found[0] == FoundModel("maker/many-49", 149)


def test_nothing_is_found_for_an_unknown_name(hub: Hub) -> None:
    assert search_models("no such model", hub.address) == []


@pytest.mark.parametrize("query", ["", "   ", "x" * 101])
def test_a_search_needs_a_name(query: str) -> None:
    with pytest.raises(DownloadError, match="Write a part of a model's name"):
        search_models(query)


@pytest.mark.slow  # The hub's library tries again for 20 seconds.
def test_without_a_connection_the_search_says_so(hub: Hub) -> None:
    with pytest.raises(DownloadError, match="cannot be reached. Check the network connection"):
        search_models("tiny", "http://127.0.0.1:9")


def test_a_login_page_is_no_hub(hub: Hub) -> None:
    hub.html = True
    with pytest.raises(DownloadError, match="did not answer like a hub|cannot be reached"):
        search_models("tiny", hub.address)
