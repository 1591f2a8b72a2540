"""The arguments of `webui.py models …`."""

from __future__ import annotations

import argparse


def add_model_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the sub-command `models`."""
    parser = commands.add_parser("models", parents=[common], help="list models, rename, discard or restore one")
    parser.add_argument("verb", nargs="?", default="list", choices=["list", "rename", "discard", "restore"])
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="a model or an adapter in models/")
    parser.add_argument("new", nargs="?", default="", metavar="NEW", help="with rename: its new name")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
