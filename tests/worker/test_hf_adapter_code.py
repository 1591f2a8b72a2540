"""A LoRA adapter is data: no code in its folder runs, even if its configuration names it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="runs in the environment of a Transformers loader")
pytest.importorskip("peft")

from loaders.transformers.spec import Settings  # noqa: E402
from loaders.transformers.worker import Engine  # noqa: E402
from modules.protocol.errors import ModelError  # noqa: E402
from tests.worker.hf_tiny import write_model  # noqa: E402

_ASKS: dict[str, dict[str, Any]] = {
    "mapping": {
        "auto_mapping": {"base_model_class": "Evil", "parent_library": "evil"},
        "auto_map": {"AutoModel": "evil.Evil"},
        "trust_remote_code": True,
    },
    "megatron": {"megatron_config": {"tensor_model_parallel_size": 1}, "megatron_core": "evil"},
}


@pytest.mark.parametrize("attack", _ASKS)
def test_no_code_in_an_adapter_folder_runs(attack: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base, folder, marker = write_model(tmp_path / "base"), tmp_path / "adapter", tmp_path / "ran"
    model = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, **_ASKS[attack]}))
    (folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    # The worst case: the folder is on Python's path.
    monkeypatch.syspath_prepend(str(folder))
    engine = Engine()
    engine.load(base, Settings(device_map="cpu", dtype="float32"), lambda text, fraction: None)
    if attack == "megatron":
        with pytest.raises(ModelError, match="megatron_config"):
            engine.apply_adapter({str(folder): 1.0})
    else:
        engine.apply_adapter({str(folder): 1.0})
    assert not marker.exists()
