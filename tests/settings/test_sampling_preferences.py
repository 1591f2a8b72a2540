"""The sampling parameters set on the page."""

from __future__ import annotations

from modules.app import App


def test_a_saved_parameter_that_is_retired_is_dropped(app: App) -> None:
    app.settings.set("sampling", {"temperature": 0.3, "penalty_alpha": 0.6})
    assert app.sampling.params().temperature == 0.3
    app.sampling.set("top_k", 7)
    assert app.settings.get("sampling") == {"temperature": 0.3, "top_k": 7}
