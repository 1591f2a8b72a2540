"""Questions and sentences about a stranger's files, in the browser."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.browser.driver import open_tab, started

pytestmark = pytest.mark.browser


def _shown(page: Any, name: str) -> None:
    """Keep a picture of the page where the developer asked for one."""
    if folder := os.environ.get("PADDOCK_TEST_PICTURES"):
        page.screenshot(path=str(Path(folder, f"{name}.png")))


@pytest.mark.parametrize("width", [1280, 390])
def test_the_session_tab_says_what_is_the_matter_with_a_character(
    own_paddock: Any, visit: Any, tmp_path: Path, width: int
) -> None:
    folder = tmp_path / "user_data" / "characters"
    folder.mkdir()
    (folder / "bomb.yaml").write_text("name: &a [x]\ncontext: *nobody\n")
    (folder / "card.json").write_text('{"name": "Lena", "first_mes": "Hi", "character_book": {"entries": [1]}}')
    served = own_paddock("--model", "small")
    page = visit(served.address, width=width)
    open_tab(page, "Session")
    said = {"bomb": "bomb.yaml cannot be read: line 2", "card": "does not know what it means: character_book"}
    for name, words in said.items():
        page.click("#session-character input")
        page.get_by_role("option", name=name, exact=True).click()
        page.wait_for_selector(f"#session-character-about >> text={words}")
        page.locator("#session-character-about").scroll_into_view_if_needed()
        _shown(page, f"trust-session-{name}-{width}")
    page.reload()
    started(page)
    open_tab(page, "Session")
    page.wait_for_selector("#session-character-about >> text=character_book")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_remote_models_key_is_asked_for_once(
    own_paddock: Any, visit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("FAR_SECRET", "hush")
    (tmp_path / "models" / "far.remote.yaml").write_text("address: http://127.0.0.1:9\nmodel: x\nkey_env: FAR_SECRET\n")
    served = own_paddock("--model", "small")
    page = visit(served.address, width=width)
    open_tab(page, "Model")
    page.click("#model-choice input")
    page.get_by_role("option", name="far.remote.yaml", exact=True).click()
    page.wait_for_selector("#key-question >> text=FAR_SECRET to be sent to http://127.0.0.1:9")
    page.locator("#key-allow").scroll_into_view_if_needed()
    _shown(page, f"trust-key-{width}")
    page.click("#key-allow")
    page.wait_for_selector("#key-question", state="hidden")
    kept = tmp_path / "user_data" / "allowed_variables.yaml"
    assert yaml.safe_load(kept.read_text()) == {"http://127.0.0.1:9": ["FAR_SECRET"]}
    page.reload()
    started(page)
    open_tab(page, "Model")
    page.wait_for_selector("#model-load")
    assert page.locator("#key-question").count() == 0
