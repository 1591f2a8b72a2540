"""The npm packages of tests/javascript, pinned by its lock file: ESLint, TypeScript and axe-core."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

# ESLint 9 needs it. Debian 12 has 18.20.
OLDEST_NODE = (18, 18)
FOLDER = Path(__file__).resolve().parents[1] / "javascript"


def missing_node() -> str:
    """Return "" if Node and npm are installed and new enough, else a sentence with the next step."""
    needed = ".".join(map(str, OLDEST_NODE))
    if not shutil.which("node") or not shutil.which("npm"):
        return f"Install Node {needed} or newer and npm to check the page's JavaScript."
    printed = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
    version = tuple(int(part) for part in printed.removeprefix("v").split(".")[:2] if part.isdigit())
    return "" if version >= OLDEST_NODE else f"This is Node {printed}. Install {needed} or newer."


def install(tools: Path = FOLDER) -> str:
    """Install the pinned packages with npm. Return "", or a sentence that says why that failed."""
    lock = (tools / "package-lock.json").read_bytes()
    marker = tools / "node_modules" / "installed-lock.json"
    if marker.is_file() and marker.read_bytes() == lock:
        return ""
    npm = shutil.which("npm") or "npm"
    command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=tools, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return f"npm could not install the checks: {done.stderr.strip()[-300:]}"
    marker.write_bytes(lock)
    return ""
