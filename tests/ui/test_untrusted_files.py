"""What the Session and Model tabs say about untrusted files."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import gradio as gr
import pytest

from modules.app import App
from modules.library.remote_keys import KeyRequest
from modules.settings.config import Config
from modules.ui.tabs import model_tab as model
from modules.ui.tabs import session_tab as session


def test_the_session_tab_says_what_is_wrong_with_a_character(app: App) -> None:
    folder = app.paths.characters
    folder.mkdir(parents=True)
    (folder / "bomb.yaml").write_text("name: &a [x]\ncontext: *nobody\n")
    (folder / "card.json").write_text('{"name": "Lena", "first_mes": "Hi", "character_<book": {"entries": [1]}}')
    (folder / "plain.yaml").write_text("name: Ada\ngreeting: Hi\n")
    said = {"bomb": "bomb.yaml cannot be read: line 2", "card": "character_&lt;book", "gone": "no character named"}
    for name, words in said.items():
        app.settings.set("character", name)
        assert words in session.character_notes(app)
    for without in ("plain", None):
        app.settings.set("character", without)
        assert session.character_notes(app) == ""


def _drawn(app: App, name: str) -> list[str]:
    """Return the ids of the components that the question about a key draws."""
    with gr.Blocks() as blocks:
        model._ask_for_keys(app, name)
    return [block.elem_id for block in blocks.blocks.values() if getattr(block, "elem_id", None)]


def test_the_model_tab_asks_for_a_key_until_it_is_allowed(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = tmp_path / "far"
    models.mkdir()
    (models / "far.remote.yaml").write_text("address: http://127.0.0.1:9\nmodel: x\nkey_env: FAR_SECRET\n")
    (models / "open.remote.yaml").write_text("address: http://127.0.0.1:9\nmodel: x\n")
    app = App(dataclasses.replace(config, models=models))
    try:
        assert _drawn(app, "far.remote.yaml") == [], "the variable is not set"
        monkeypatch.setenv("FAR_SECRET", "hush")
        assert _drawn(app, "far.remote.yaml") == ["key-question", "key-allow"]
        assert _drawn(app, "open.remote.yaml") == []
        app.keys.allow(KeyRequest("FAR_SECRET", "http://127.0.0.1:9"))
        assert _drawn(app, "far.remote.yaml") == []
        two = models / "two.remote.yaml"
        two.write_text("address: [http://127.0.0.1:8, http://127.0.0.1:9]\nkey_env: FAR_SECRET\n")
        assert _drawn(app, "two.remote.yaml") == ["key-question", "key-allow"]
        two.write_text("address: [http://127.0.0.1:9, http://127.0.0.1:10]\nkey_env: FAR_SECRET\n")
        assert _drawn(app, "two.remote.yaml") == ["key-question-1", "key-allow-1"]
    finally:
        app.close()
