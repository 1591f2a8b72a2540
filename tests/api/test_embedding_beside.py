"""Vectors from one model while another one writes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from modules.cli.application import build_app
from modules.library.scan import DEMO_MODEL
from modules.runtime.environment import Environments
from modules.settings.config import Config
from tests.conftest import ROOT
from tests.support.environments import installed, not_here
from tests.support.server import serving


@pytest.fixture
def client(tmp_path: Path, environments: Environments) -> Iterator[httpx.Client]:
    """Serve two copies of the demo model, the first of which is loaded."""
    (tmp_path / "models").mkdir()
    for name in ("chat.gguf", "vectors.gguf"):
        shutil.copy(ROOT / "models" / DEMO_MODEL, tmp_path / "models" / name)
    app = build_app(Config(ROOT, port=0, models=tmp_path / "models", user_data=tmp_path / "user_data"))
    try:
        spec = app.registry.get("xllamacpp")
        if reason := not_here(spec, environments):
            pytest.skip(reason)
        installed(spec, environments)
        app.models.load("chat.gguf", "xllamacpp")
        with serving(app) as address, httpx.Client(base_url=address, timeout=120) as client:
            yield client
    finally:
        app.close()


def test_a_model_for_vectors_is_loaded_beside_the_one_that_writes(client: httpx.Client) -> None:
    body = {"prompt": "Once", "max_tokens": 1500, "ban_eos_token": True, "stream": True}
    with client.stream("POST", "/v1/completions", json=body) as response:
        lines = response.iter_lines()
        assert "chat.gguf" in next(lines)
        answer = client.post("/v1/embeddings", json={"model": "vectors.gguf", "input": ["one", "two"]}).json()
        assert answer["model"] == "vectors.gguf"
        assert len(answer["data"]) == 2
        assert any(line.startswith("data: {") for line in lines)
    listed = client.get("/v1/models").json()["data"]
    assert [(one["id"], one["state"]) for one in listed] == [("chat.gguf", "ready"), ("vectors.gguf", "ready")]
