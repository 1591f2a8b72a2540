"""`python3 -m benchmarks NAME [--json]`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

NAMES = (
    "overhead",
    "turns",
    "long",
    "stream",
    "speculative",
    "load",
    "soak",
    "startup",
    "page",
    "footprint",
    "extensions",
    "plan",
    "gpu",
    "quantization",
    "jobs",
    "perplexity",
)
# Benchmarks that can run for selected loaders.
BY_LOADER = ("overhead", "turns", "long", "plan", "perplexity", "speculative")
# Benchmarks that can run selected cases.
BY_CASE = ("quantization", "jobs")


def main() -> int:
    """Run one benchmark."""
    from modules.system import bootstrap

    root = Path(__file__).resolve().parent.parent
    bootstrap.ensure(root, ["-m", "benchmarks", *sys.argv[1:]])
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="print one JSON object per line")
    parser.add_argument("--loader", action="append", help=f"{', '.join(BY_LOADER)}: only this loader; may be repeated")
    parser.add_argument("--case", action="append", help="quantization, jobs: only cases with this in their name")
    parser.add_argument("--minutes", type=float, default=1.0, help="soak: how long the clients run (default: 1)")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="page: measure this checkout in turns with it")
    parser.add_argument("--no-venv", action="store_true", help="use the current Python instead of .venv")
    arguments = parser.parse_args()
    selected = {**dict.fromkeys(BY_LOADER, arguments.loader), **dict.fromkeys(BY_CASE, arguments.case)}
    chosen = (given,) if (given := selected.get(arguments.name)) else ()
    if arguments.name == "soak":
        chosen = (arguments.minutes,)
    if arguments.name == "page":
        chosen = (arguments.against,)
    for figure in importlib.import_module(f"benchmarks.{arguments.name}").run(*chosen):
        figure.show(arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
