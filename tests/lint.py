"""`python3 -m tests --lint`: ruff, mypy and the checks of the page's JavaScript.

A check that this machine cannot run is named, with the reason. If the environment variable CI is set, as on a
continuous integration server, such a check counts as failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.node_packages import install, missing_node

_PAGE_SCRIPTS = ("modules/ui/static", "modules/compat/widgets")


@dataclass(frozen=True)
class Check:
    """A command that must exit with status 0, or a sentence that says why this machine cannot run it."""

    name: str
    command: Sequence[str] = ()
    skipped: str = ""


def lint(root: Path) -> int:
    """Run all checks in the clone `root`, print their output, and return the exit status."""
    failed = []
    for check in checks(root):
        if check.skipped:
            print(f"{check.name}: skipped. {check.skipped}", flush=True)
            status = 1 if os.environ.get("CI") else 0
        else:
            print(f"{check.name} ...", flush=True)
            status = subprocess.run(check.command, cwd=root, check=False).returncode
        if status:
            failed.append(check.name)
    print(f"Failed: {', '.join(failed)}." if failed else "All checks passed.", flush=True)
    return 1 if failed else 0


def checks(root: Path) -> list[Check]:
    """Return all checks, each with the command that runs it here."""
    python = [sys.executable, "-m"]
    return [
        Check("ruff check", [*python, "ruff", "check", "."]),
        Check("ruff format", [*python, "ruff", "format", "--check", "."]),
        Check("mypy", [*python, "mypy"]),
        Check("css lines", [*python, "tests.css_lines", _PAGE_SCRIPTS[0]]),
        *_javascript(root),
    ]


def _javascript(root: Path) -> list[Check]:
    """Return the checks of the page's scripts by ESLint and TypeScript, and install both if they are missing."""
    tools = root / "tests" / "javascript"
    if reason := missing_node() or install(tools):
        return [Check("eslint", skipped=reason), Check("tsc", skipped=reason)]
    modules = tools / "node_modules"
    eslint = [str(modules / "eslint" / "bin" / "eslint.js"), "--config", "tests/javascript/eslint.config.mjs"]
    return [
        Check("eslint", ["node", *eslint, "--max-warnings", "0", *_PAGE_SCRIPTS]),
        Check(
            "tsc", ["node", str(modules / "typescript" / "bin" / "tsc"), "--project", "tests/javascript/tsconfig.json"]
        ),
    ]
