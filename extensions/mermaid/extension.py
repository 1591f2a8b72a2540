"""Draws Mermaid's diagrams. A process draws each one, because the source is a text that a model wrote.

The page shows the drawing as an image, so that nothing in it can run, load a file or reach the page.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_LONGEST = 50_000
_REMEMBERED = 64


@lru_cache(maxsize=_REMEMBERED)
def draw(source: str, seconds: int) -> dict[str, Any]:
    """Return {"svg", "width", "height"} of a diagram, or {"error"}, a sentence."""
    if len(source) > _LONGEST:
        return {"error": f"The diagram has more than {_LONGEST:,} characters, so it is not drawn."}
    package = importlib.util.find_spec("mermaidx")
    if package is None or not package.origin:
        return {"error": "The package mermaidx is missing. Switch the extension Diagrams off and on to install it."}
    command = [sys.executable, "-I", str(_HERE / "draw.py"), str(Path(package.origin).parents[1])]
    try:
        done = subprocess.run(command, input=source.encode(), capture_output=True, timeout=seconds, check=False)
        return dict(json.loads(done.stdout))
    except subprocess.TimeoutExpired:
        return {"error": f"The diagram took longer than {seconds} seconds, so it was not drawn."}
    except (OSError, ValueError):
        return {"error": "The diagram could not be drawn: the program that draws it ended early."}


def api_routes(settings: Any) -> dict[str, Callable[[Any], dict[str, Any]]]:
    """Draw the source that the page's script sends."""
    return {"POST draw": lambda request: draw(request.body.decode("utf-8", "replace"), settings.seconds)}


def custom_js() -> str:
    """Return the script that puts the drawings into replies."""
    return (_HERE / "page.js").read_text(encoding="utf-8")


def custom_css() -> str:
    """Return the look of a drawing."""
    return (
        ".code .diagram { margin: 0; padding: 14px; overflow-x: auto; background: #fff; text-align: center; }"
        ".code .diagram img { max-width: none; height: auto; }"
        ".code .diagram-problem { margin: 0; padding: 8px 14px; color: var(--warn); font-size: 13px; }"
    )
