"""`webui.py recommend MODEL`: which method, which loader, how large, how fast, at which loss."""

from __future__ import annotations

import argparse
import json
from typing import Any

from modules.cli.application import build_app
from modules.jobs.recommend.bandwidth import measure_bandwidth
from modules.jobs.recommend.devices import parse_device
from modules.jobs.recommend.here import recommend_here
from modules.jobs.recommend.measured import measured_losses
from modules.jobs.recommend.recommend import Request
from modules.library.sizes import format_size
from modules.protocol.model_facts import AIMS
from modules.settings.config import Config


def recommend(config: Config, arguments: argparse.Namespace) -> int:
    """Rank the methods for a model and a machine."""
    app = build_app(config)
    try:
        facts, here = app.library.facts(arguments.model), app.planner.machine()
        machine = parse_device(arguments.device, here)
        aim = config.aim or str(app.settings.get("aim", AIMS[0]))
        bandwidth = 0.0
        if machine is here and not here.gpus:
            bandwidth = measure_bandwidth(here.cpus)
        request = Request(
            facts.name, machine, aim, arguments.context, arguments.fine_tune, bandwidth, arguments.calibration
        )
        found = recommend_here(request, app.jobs.resources, measured_losses(app.jobs, facts.name))
    finally:
        app.close()
    print(json.dumps(found, indent=1)) if arguments.json else _show(found)
    return 0


def _show(found: dict[str, Any]) -> None:
    sizes = ", ".join(f"{name} {format_size(size)}" for name, size in found["bytes_per_precision"].items())
    print(f"{found['model']}: {found['parameters']:,} weights. {found['reason']}\nSizes: {sizes}\n")
    for row in found["methods"]:
        settings = " ".join(f"{key}={value}" for key, value in row["settings"].items())
        if row["why_not"]:
            print(f" -  {row['method']:<5} {settings}: {row['why_not']}")
            continue
        loss = f", perplexity +{row['expected_loss']:g} ({row['loss_source']})" if row["loss_source"] else ""
        speed = f", at most {row['tokens_per_second']:g} tokens/s" if row["tokens_per_second"] else ""
        print(
            f"{row['rank']:>2}. {row['method']:<5} {settings}: {format_size(row['size_bytes'])} on disk, "
            f"{format_size(row['memory_bytes'])} of memory with {row['loader']}{loss}{speed}\n"
            f"    {row['reason']}\n    {row['command']}"
        )
