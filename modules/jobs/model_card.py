"""The card of a model that was quantized here: how it was made, from what, with which tools."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modules.jobs.texts import TextRows
from modules.library.folder import all_shard_names
from modules.protocol.model_facts import ModelFacts
from modules.protocol.quantization_method import QuantizationMethod
from modules.system.version import VERSION

_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt")
_BLOCK = 8 << 20


def source_hash(path: Path, report: Callable[[float], None]) -> str:
    """Return the SHA-256 (hex) of the model's weights, in the order of their names. `report`: gets the fraction."""
    files = [part for name in all_shard_names(path.name) if (part := path.with_name(name)).exists()]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in _WEIGHTS)
    total, done = max(1, sum(file.stat().st_size for file in files)), 0
    digest = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
                done += len(block)
                report(done / total)
    return digest.hexdigest()


def make_card(
    facts: ModelFacts,
    sha256: str,
    method: QuantizationMethod,
    settings: Mapping[str, object],
    calibration: TextRows | None,
) -> dict[str, object]:
    """Return the facts of the card, ready for JSON."""
    card: dict[str, object] = {
        "paddock": VERSION,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "method": method.name,
        "settings": dict(settings),
        "source": {"name": facts.name, "sha256": sha256, "format": facts.format, "dtype": facts.dtype},
    }
    if calibration is not None:
        card["calibration"] = {
            "source": calibration.source,
            "sha256": calibration.sha256,
            "rows": len(calibration.rows),
        }
    return card


def write_card(folder: Path, name: str, title: str, card: Mapping[str, Any], versions: Mapping[str, str]) -> None:
    """Write README.md and paddock.json of the model in `folder`."""
    whole = {**card, "versions": dict(versions)}
    (folder / "paddock.json").write_text(json.dumps(whole, indent=1, ensure_ascii=False), encoding="utf-8")
    source, calibration = card["source"], card.get("calibration")
    rows = [
        ("source model", f"{source['name']} (SHA-256 of its weights: `{source['sha256']}`)"),
        ("method", title),
        *((f"`{key}`", str(value)) for key, value in card["settings"].items()),
        ("tools", ", ".join(f"{package} {version}" for package, version in versions.items())),
        ("made", f"{card['made']} by Paddock {card['paddock']}, in {card.get('seconds', 0):.0f} s"),
    ]
    if calibration:
        text = f"{calibration['source']}, {calibration['rows']} rows (SHA-256: `{calibration['sha256']}`)"
        rows.insert(2, ("calibration", text))
    table = "\n".join(f"| {key} | {value} |" for key, value in rows)
    front = f"---\nbase_model: {json.dumps(source['name'])}\ntags:\n- {card['method']}\n- quantized\n---\n"
    text = f"{front}\n# {name}\n\n{source['name']}, quantized with {title}.\n\n| | |\n|---|---|\n{table}\n"
    (folder / "README.md").write_text(text, encoding="utf-8")
