"""`python3 -m modules.plugins.shipped` writes extensions/shipped.json, the hashes of the shipped extensions.

A shipped extension that is unchanged runs without asking for consent. A test compares the file with the folders.
"""

from __future__ import annotations

import json
from pathlib import Path

from modules.files.paths import write_atomically
from modules.plugins.folders import discover

SHIPPED = (
    "character_bias",
    "dictation",
    "example",
    "long_replies",
    "mermaid",
    "perplexity_colors",
    "piper",
    "rag",
    "send_pictures",
    "translate",
    "tts",
    "web_search",
)


def hashes(root: Path) -> dict[str, str]:
    """Return the sha256 of each shipped extension in `root` by name."""
    found = discover([root])
    return {name: found[name].sha256 for name in SHIPPED}


def main() -> None:
    """Write the file."""
    root = Path(__file__).resolve().parents[2] / "extensions"
    write_atomically(root / "shipped.json", json.dumps(hashes(root), indent=1) + "\n")


if __name__ == "__main__":
    main()
