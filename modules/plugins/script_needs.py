"""Packages that a script.py imports without requiring them, because text-generation-webui's environment has them."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from modules.plugins.requirement_text import name_of

# Import name -> package, for packages that text-generation-webui's requirements/full has and the host does not. Other
# imports are ignored: an import in untrusted code is no reason to install a package of that name.
_PACKAGES = {
    "accelerate": "accelerate",
    "datasets": "datasets",
    "diffusers": "diffusers",
    "docx": "python-docx",
    "einops": "einops",
    "fitz": "pymupdf",
    "markdown": "markdown",
    "peft": "peft",
    "requests": "requests",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "sentencepiece": "sentencepiece",
    "tiktoken": "tiktoken",
    "torch": "torch",
    "trafilatura": "trafilatura",
    "transformers": "transformers",
}


def unnamed_needs(folder: Path, named: Sequence[str]) -> tuple[str, ...]:
    """Return the packages that the script imports at load time and that are not among its requirements `named`."""
    known = {name_of(text) for text in named}
    found = {_PACKAGES[name] for name in _imported(folder) if name in _PACKAGES}
    return tuple(sorted(found - known))


def _imported(folder: Path) -> Iterator[str]:
    """Yield the names that script.py, and files of its folder that it imports, import outside of a `try` block."""
    waiting, seen = ["script"], set[str]()
    while waiting:
        module = waiting.pop()
        path = folder.joinpath(*module.split(".")).with_suffix(".py")
        if module in seen or not path.is_file():
            continue
        seen.add(module)
        try:
            tree = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError):
            continue
        for node in tree.body:
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level:
                names = []
                waiting += [node.module] if node.module else [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
                if node.module == f"extensions.{folder.name}":
                    waiting += [alias.name for alias in node.names]
            else:
                continue
            for name in names:
                if name.startswith(f"extensions.{folder.name}."):
                    waiting.append(name.split(".", 2)[2])
                yield name.partition(".")[0]
