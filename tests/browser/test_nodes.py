"""The list of nodes on the Model tab."""

from __future__ import annotations

from typing import Any

import pytest

from modules.app import App
from modules.loading.nodes.node_facts import NodeFacts
from modules.ui.mount import PageHost
from tests.browser.driver import open_tab
from tests.support.server import serving

pytestmark = pytest.mark.browser

FACTS = NodeFacts(
    "second",
    environments={"vllm": "vllm-1"},
    cards=("Card", "Card"),
    card_bytes=48 * 10**9,
    free_bytes=8 * 10**9,
    address="10.0.0.2",
    host_address="10.0.0.1",
)


def test_nodes_are_listed_with_their_cards_and_health_and_removed(
    app: App, visit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = app.nodes.registry
    monkeypatch.setattr(registry, "_own", lambda: FACTS)
    with serving(app, PageHost) as address:
        page = visit(address)
        open_tab(page, "Model")
        sent: list[dict[str, Any]] = []
        node = registry.join(FACTS, sent.append)
        row = page.locator("#model-nodes .loader", has_text="second")
        row.get_by_text("2 × Card (48.0 GB), 8.0 GB of main memory free").wait_for()
        registry.report(node.id, {"load": "x", "state": "loaded", "text": "Holds a part of tiny"})
        row.get_by_text("· Holds a part of tiny").wait_for()
        registry.leave(node)
        row.locator(".warning", has_text="is gone").wait_for()
        page.get_by_role("button", name="Remove second").click()
        page.wait_for_selector("#model-nodes", state="hidden")
        assert registry.nodes == [] and sent == [{"type": "lost"}]
