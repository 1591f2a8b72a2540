"""Draws one diagram: reads the source from stdin, and writes JSON. The argument is the folder with mermaidx."""

import contextlib
import importlib
import json
import re
import sys

_MOST_MEMORY = 1 << 30
_LONGEST_SVG = 4_000_000
_BOX = re.compile(r'viewBox="[-\d.]+ [-\d.]+ ([\d.]+) ([\d.]+)"')


def main() -> None:
    """Draw it."""
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
    sys.path.append(sys.argv[1])
    mermaidx = importlib.import_module("mermaidx")
    source = sys.stdin.buffer.read().decode("utf-8", "replace")
    try:
        svg = mermaidx.render(source).svg()
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        print(json.dumps({"error": f"This is no diagram that Mermaid can draw. {' '.join(lines)[:300]}"}))
        return
    box = _BOX.search(svg)
    if box is None or len(svg) > _LONGEST_SVG:
        print(json.dumps({"error": "The diagram is too large to be shown."}))
        return
    print(json.dumps({"svg": svg, "width": float(box[1]), "height": float(box[2])}))


main()
