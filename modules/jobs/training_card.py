"""The cards of an adapter that was trained here and of a model that it was merged into."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.protocol.model_facts import ModelFacts
from modules.system.version import VERSION


def make_training_card(
    facts: ModelFacts, sha256: str, settings: Mapping[str, object], data: Mapping[str, object]
) -> dict[str, object]:
    """Return the facts of an adapter's card, ready for JSON. `data`: {"source", "sha256", "examples", "broken"}."""
    return {
        **_origin("lora"),
        "settings": dict(settings),
        "source": {"name": facts.name, "sha256": sha256, "format": facts.format, "dtype": facts.dtype},
        "data": dict(data),
    }


def make_merge_card(facts: ModelFacts, sha256: str, adapter: str, adapter_sha256: str) -> dict[str, object]:
    """Return the facts of the card of a model with an adapter merged in, or of an adapter as GGUF, ready for JSON."""
    return {
        **_origin("merge"),
        "source": {"name": facts.name, "sha256": sha256, "format": facts.format, "dtype": facts.dtype},
        "adapter": {"name": adapter, "sha256": adapter_sha256},
    }


def write_adapter_card(folder: Path, name: str, card: Mapping[str, Any]) -> None:
    """Write README.md and paddock.json of the adapter in `folder`."""
    data, source = card["data"], card["source"]
    rows = [
        ("model", f"{source['name']} (SHA-256 of its weights: `{source['sha256']}`)"),
        ("data", f"{data['source']}, {data['examples']} examples (SHA-256: `{data['sha256']}`)"),
        ("steps", f"{card['steps']}, last loss {card['loss']}"),
        *((f"`{key}`", str(value)) for key, value in card["settings"].items()),
    ]
    front = f"base_model: {json.dumps(source['name'])}\nlibrary_name: peft\ntags:\n- lora\n"
    _write(folder, name, f"A LoRA adapter for {source['name']}.", front, rows, card)


def write_merge_card(folder: Path, name: str, card: Mapping[str, Any]) -> None:
    """Write README.md and paddock.json of the merged model in `folder`."""
    adapter, source = card["adapter"], card["source"]
    rows = [
        ("source model", f"{source['name']} (SHA-256 of its weights: `{source['sha256']}`)"),
        ("adapter", f"{adapter['name']} (SHA-256 of its weights: `{adapter['sha256']}`)"),
    ]
    front = f"base_model: {json.dumps(source['name'])}\ntags:\n- merge\n"
    sentence = f"{source['name']} with the LoRA adapter {adapter['name']} merged into its weights."
    _write(folder, name, sentence, front, rows, card)


def _origin(method: str) -> dict[str, object]:
    made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"paddock": VERSION, "made": made, "method": method}


def _write(
    folder: Path, name: str, sentence: str, front: str, rows: Sequence[tuple[str, str]], card: Mapping[str, Any]
) -> None:
    (folder / "paddock.json").write_text(json.dumps(card, indent=1, ensure_ascii=False), encoding="utf-8")
    last = [
        ("tools", ", ".join(f"{package} {version}" for package, version in card["versions"].items())),
        ("made", f"{card['made']} by Paddock {card['paddock']}, in {card['seconds']:.0f} s"),
    ]
    table = "\n".join(f"| {key} | {value} |" for key, value in [*rows, *last])
    text = f"---\n{front}---\n\n# {name}\n\n{sentence}\n\n| | |\n|---|---|\n{table}\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
