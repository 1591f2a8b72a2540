"""Two long chats at once in llama.cpp's server: in one cache they crowd each other out, with own caches they do not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from modules.app import App
from modules.protocol.sampling import SamplingParams
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from tests.conftest import ROOT
from tests.support.environments import installed

PATIENCE = 120.0
CONTEXT = 512
MODEL = "demo.Q8_0.gguf"


@pytest.mark.parametrize("own", ["off", "on", "auto"])
def test_long_replies_at_once_need_a_cache_each(app: App, environments: Environments, tmp_path: Path, own: str) -> None:
    installed(Registry(ROOT / "loaders").get("xllamacpp"), environments)
    shutil.copy(ROOT / "models" / MODEL, tmp_path / "models" / MODEL)
    info = app.models.load(MODEL, "xllamacpp", {"context": CONTEXT, "slots": 2, "own_caches": own})
    assert (info.context, info.slots) == (CONTEXT, 2)
    params = SamplingParams(do_sample=False, ban_eos_token=True, max_new_tokens=CONTEXT * 3 // 4)
    both = [app.supervisor.generate(f"{word} " * 20, params) for word in ("context", "cache")]
    assert all(generation.wait(PATIENCE) for generation in both)
    failed = [generation for generation in both if generation.error is not None]
    # This machine has room for two caches of a tiny model.
    assert bool(failed) == (own == "off"), [generation.error for generation in both]
