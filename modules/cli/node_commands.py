"""`webui.py node …`: join another machine's Paddock, or list and remove the machines that have joined one."""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

import psutil

from modules.app import App
from modules.cli.application import build_app
from modules.cli.node_parser import KEY_VARIABLE
from modules.loading.nodes.followed_load import NodeResources
from modules.loading.nodes.follower import NodeFollower
from modules.loading.nodes.host_connection import HostConnection
from modules.loading.nodes.network import address_of
from modules.loading.nodes.node_facts import NodeFacts, own_facts
from modules.loading.worker_folders import worker_folders
from modules.protocol.errors import PaddockError
from modules.settings.config import Config


def node(config: Config, arguments: argparse.Namespace) -> int:
    """Run the sub-command that the arguments name. Return the exit status."""
    host = HostConnection(arguments.address, _key(arguments))
    try:
        if arguments.verb == "join":
            return _join(config, host, arguments.name, arguments.interface)
        if arguments.verb == "remove":
            host.ask("POST", "/remove", {"name": arguments.name})
            print(f"Removed {arguments.name}.")
            return 0
        rows: list[dict[str, Any]] = host.ask("GET", "")
    finally:
        host.close()
    if arguments.json:
        print(json.dumps(rows, indent=1))
        return 0
    for row in rows:
        print(f"{row['name']} ({row['address']}): {row['health']}, {row['facts']}")
        if row["problem"] or row["doing"]:
            print(f"  {row['problem'] or row['doing']}")
    if not rows:
        print("No machine has joined. On another machine, run: node join ADDRESS --key-file FILE", file=sys.stderr)
    return 0


def _join(config: Config, host: HostConnection, name: str, interface: str) -> int:
    app = build_app(config)
    resources = NodeResources(
        config.root,
        app.paths.models,
        app.registry,
        app.environments,
        app.library,
        app.consents,
        worker_folders(app.paths, app.own_loaders),
    )
    follower = NodeFollower(
        host,
        resources,
        lambda: _facts(app, host, name, interface),
        lambda: int(psutil.virtual_memory().available),
        lambda sentence: print(sentence, flush=True),
    )
    try:
        follower.run()
    finally:
        follower.stop()
        app.close()
    return 0


def _facts(app: App, host: HostConnection, name: str, interface: str) -> NodeFacts:
    own, theirs = host.ends()
    if interface:
        own = address_of(interface)
    return own_facts(app.registry, app.environments, app.machine, name, (own, theirs))


def _key(arguments: argparse.Namespace) -> str:
    if arguments.key_file:
        try:
            lines = arguments.key_file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise PaddockError(f"{arguments.key_file} cannot be read ({error}). Give the key's file.") from None
        if not lines or not lines[0].strip():
            raise PaddockError(f"The first line of {arguments.key_file} is empty. Write the host's admin key there.")
        return str(lines[0].strip())
    return str(arguments.key or os.environ.get(KEY_VARIABLE, ""))
