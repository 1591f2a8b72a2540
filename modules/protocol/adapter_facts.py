"""Facts of a LoRA adapter on disk (Hu et al. 2021, LoRA)."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.model_facts import Evidence


@dataclass(frozen=True)
class AdapterFacts:
    """An adapter in `models/`. Zero and "" mean unknown.

    `name`: path below `models/` with forward slashes; `path`: the folder or the file; `format`: "peft" (a folder with
    adapter_config.json) or "gguf"; `base`: the base model that its config names; `rank`: r; `targets`: the
    modules that it changes; `hidden`, `layers`: hidden size and minimum number of layers of a model that it fits.
    `problems`: sentences saying why it cannot be applied anywhere.
    """

    name: str
    path: str
    format: str
    size_bytes: int = 0
    base: str = ""
    architecture: str = ""
    rank: int = 0
    targets: tuple[str, ...] = ()
    hidden: int = 0
    layers: int = 0
    evidence: tuple[Evidence, ...] = ()
    problems: tuple[str, ...] = ()
