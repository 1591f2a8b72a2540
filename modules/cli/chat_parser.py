"""The arguments of `webui.py chats …`."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_chat_parser(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Add the sub-command `chats`."""
    top = commands.add_parser("chats", parents=[common], help="list, import or export chats")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    listed = verbs.add_parser("list", parents=[common], help="every chat with its id, latest first")
    listed.add_argument("--json", action="store_true", help="print a JSON list with one object each")
    imported = verbs.add_parser(
        "import", parents=[common], help="chats of Paddock, text-generation-webui, SillyTavern, ChatGPT or Open WebUI"
    )
    imported.add_argument("files", nargs="+", type=Path, metavar="FILE")
    exported = verbs.add_parser("export", parents=[common], help="write one chat, or all of them, to files")
    exported.add_argument("--chat", default="", metavar="ID", help="one chat by its id or title (default: all)")
    exported.add_argument(
        "--format",
        choices=["json", "markdown", "html", "textgen"],
        default="json",
        help="json has every version and can be imported again; the others have what is shown (default: json)",
    )
    exported.add_argument("out", type=Path, metavar="OUT", help="a new file, or a folder for all chats")
