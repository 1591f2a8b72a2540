"""Which adapter a request names, and whether vLLM can apply it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from modules.protocol.errors import ModelError, Unsupported


def find_adapter(adapters: Mapping[str, float], rank: int, over_nodes: bool) -> Path | None:
    """Return the folder of the one adapter in `adapters`, path -> weight; None if there is none.

    `rank`: of the load. `over_nodes`: other machines hold parts of the model. Raises ModelError or Unsupported.
    """
    adapters = {name: weight for name, weight in adapters.items() if weight}
    if not adapters:
        return None
    if over_nodes:
        raise Unsupported("With Nodes, vLLM applies no adapter. Merge it into the model, or load with Nodes off.")
    if not rank:
        raise Unsupported("The model was loaded without room for adapters. Load it again with LoRA rank 64 or higher.")
    if len(adapters) > 1 or set(adapters.values()) != {1.0}:
        raise Unsupported("vLLM applies one adapter, with weight 1. Name one, or choose another loader.")
    path = Path(next(iter(adapters)))
    if not (path / "adapter_config.json").is_file():
        raise ModelError(f"There is no adapter in {path.name} (adapter_config.json). Copy its folder there.")
    return path
