"""The arguments of `webui.py knowledge …`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_knowledge_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the sub-command `knowledge`."""
    top = commands.add_parser("knowledge", parents=[common], help="folders of documents that chats can use")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    listed = verbs.add_parser("list", parents=[common], help="all knowledge, and how much of it was read")
    listed.add_argument("--json", action="store_true", help="print a JSON list with one object each")
    added = verbs.add_parser("add", parents=[common], help="make knowledge of a folder, and read its documents")
    added.add_argument("name", metavar="NAME")
    added.add_argument("folder", type=Path, metavar="FOLDER")
    read = verbs.add_parser("read", parents=[common], help="read new and changed documents, forget removed ones")
    read.add_argument("name", nargs="?", default="", metavar="NAME", help="default: all")
    removed = verbs.add_parser("remove", parents=[common], help="forget knowledge; its folder stays as it is")
    removed.add_argument("name", metavar="NAME")
    model = verbs.add_parser("model", parents=[common], help="choose the model for the search by meaning")
    model.add_argument(
        "model",
        metavar="MODEL",
        help="wordllama (a small model, installed when it is chosen), an embedding model in models/, or none",
    )
    search = verbs.add_parser("search", parents=[common], help="print the passages that match a question")
    search.add_argument("question", metavar="QUESTION")
    search.add_argument("--knowledge", action="append", default=[], metavar="NAME", help="default: all")
    search.add_argument("--most", type=int, default=8, metavar="N", help="passages at most (default: 8)")
    search.add_argument("--json", action="store_true", help="print a JSON list with one object each")
