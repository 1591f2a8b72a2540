"""Converts the user's pip configuration to uv's options, so that an index, a mirror or certificates set up for pip also
work for Paddock."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class PackageSources:
    """Arguments and environment variables for `uv pip install`."""

    arguments: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)


def read_pip_config(python: str = sys.executable) -> dict[str, str]:
    """Return pip's configuration, option -> value: environment over `install.` over `global.`. {} without pip."""
    answer = subprocess.run(
        [python, "-m", "pip", "config", "list"], capture_output=True, text=True, timeout=60, check=False
    )
    found: dict[str, dict[str, str]] = {}
    for line in answer.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, option = name.rpartition(".")
        try:
            found.setdefault(section, {})[option] = str(ast.literal_eval(value))
        except (ValueError, SyntaxError):
            continue
    if answer.returncode != 0:
        found[":env:"] = {
            name[4:].lower().replace("_", "-"): value for name, value in os.environ.items() if name.startswith("PIP_")
        }
    return {**found.get("global", {}), **found.get("install", {}), **found.get(":env:", {})}


def package_sources(config: Mapping[str, str]) -> PackageSources:
    """Return uv's arguments and variables for a pip configuration."""
    arguments: list[str] = []
    environment: dict[str, str] = {}
    if index := config.get("index-url"):
        arguments += ["--default-index", index]
    for extra in config.get("extra-index-url", "").split():
        arguments += ["--index", extra]
    if config.get("extra-index-url"):
        # pip takes the best version of all indexes; uv would stop at the first one that has the package.
        arguments += ["--index-strategy", "unsafe-best-match"]
    for links in config.get("find-links", "").split():
        arguments += ["--find-links", links]
    for host in config.get("trusted-host", "").split():
        arguments += ["--allow-insecure-host", host]
    if config.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        arguments.append("--no-index")
    if certificates := config.get("cert"):
        environment["SSL_CERT_FILE"] = certificates
    if proxy := config.get("proxy"):
        environment["HTTP_PROXY"] = environment["HTTPS_PROXY"] = proxy
    if timeout := config.get("timeout") or config.get("default-timeout"):
        environment["UV_HTTP_TIMEOUT"] = timeout
    return PackageSources(arguments, environment)
