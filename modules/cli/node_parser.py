"""The parser of `webui.py node`."""

from __future__ import annotations

import argparse
from pathlib import Path

# Holds the host's admin key, also for a host.
KEY_VARIABLE = "PADDOCK_ADMIN_KEY"


def add_node_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the parser of `node`."""
    top = commands.add_parser("node", parents=[common], help="spread models over several machines")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    join = verbs.add_parser("join", parents=[common], help="let the Paddock at ADDRESS load parts of models here")
    join.add_argument("address", metavar="ADDRESS", help="of the host, such as 192.168.0.5 or 192.168.0.5:7860")
    join.add_argument("--name", default="", help="how the host calls this machine (default: its host name)")
    join.add_argument(
        "--interface", default="", help="the network interface for the parts (default: the one that reaches the host)"
    )
    listed = verbs.add_parser("list", parents=[common], help="the machines that have joined the Paddock at ADDRESS")
    listed.add_argument("address", nargs="?", default="127.0.0.1", metavar="ADDRESS", help="default: this machine's")
    listed.add_argument("--json", action="store_true", help="print a JSON list with one object each")
    remove = verbs.add_parser("remove", parents=[common], help="remove a machine from the Paddock at ADDRESS")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("address", nargs="?", default="127.0.0.1", metavar="ADDRESS", help="default: this machine's")
    for parser in (join, listed, remove):
        parser.add_argument("--key", default="", help=f"the host's admin key; or set {KEY_VARIABLE}")
        parser.add_argument("--key-file", type=Path, metavar="FILE", help="read the key from the first line of FILE")
