"""What engines compile stays in the environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modules.worker.compiled_code import keep_compiled


def test_what_is_compiled_is_kept_for_later_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"VLLM_CACHE_ROOT": "/elsewhere"})
    keep_compiled(tmp_path / "missing" / "compiled")
    assert os.environ == {"VLLM_CACHE_ROOT": "/elsewhere"}
    folder = tmp_path / "compiled"
    keep_compiled(folder, VLLM_CACHE_ROOT="vllm", OTHER_CACHE="other")
    assert folder.is_dir()
    assert os.environ == {
        "VLLM_CACHE_ROOT": "/elsewhere",
        "TORCHINDUCTOR_CACHE_DIR": str(folder / "inductor"),
        "OTHER_CACHE": str(folder / "other"),
    }
