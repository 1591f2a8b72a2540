"""`webui.py knowledge …`: folders of documents that chats can use, also while Paddock runs."""

from __future__ import annotations

import argparse
import dataclasses
import json

from modules.app import App
from modules.chat.knowledge.knowledge import Knowledge
from modules.chat.knowledge.knowledge_state import EMBEDS, KnowledgeState
from modules.chat.knowledge.model_choice import describe_choice
from modules.cli.application import build_app
from modules.cli.terminal import ProgressLine
from modules.settings.config import Config
from modules.system.program_name import program_name


def knowledge(config: Config, arguments: argparse.Namespace) -> int:
    """List, add, read, search and remove knowledge."""
    app = build_app(config)
    try:
        _run(app, arguments)
    finally:
        app.close()
    return 0


def _run(app: App, arguments: argparse.Namespace) -> None:
    found = app.knowledge
    if arguments.verb == "list":
        _list(found, arguments.json)
    elif arguments.verb == "add":
        _read(found, found.create(arguments.name, str(arguments.folder.absolute())))
    elif arguments.verb == "read":
        for name in [arguments.name] if arguments.name else found.names():
            _read(found, name)
    elif arguments.verb == "remove":
        found.remove(arguments.name)
        print(f"{arguments.name} was removed. Its folder stays as it is.")
    elif arguments.verb == "model":
        _choose(found, arguments.model)
    else:
        _search(found, arguments)


def _list(found: Knowledge, as_json: bool) -> None:
    states = found.states()
    if as_json:
        print(json.dumps([dataclasses.asdict(state) for state in states], ensure_ascii=False))
        return
    for state in states:
        print(_sentence(state))
    if not states:
        print(f"There is no knowledge yet. Add some with: {program_name()} knowledge add NAME FOLDER")


def _sentence(state: KnowledgeState) -> str:
    vectors = f", {state.vectors:,} with a vector" if state.vectors else ""
    return f"{state.name}: {state.documents:,} documents, {state.passages:,} passages{vectors}. {state.folder}"


def _read(found: Knowledge, name: str) -> None:
    """Read one with progress, and print what was read and what was not."""
    line = ProgressLine()

    def report(phase: str, done: int, total: int) -> None:
        what = "Making vectors" if phase == EMBEDS else "Reading"
        line(f"{what}: {done:,} of {total:,}" if total else "Looking for changes", done / total if total else None)

    try:
        state = found.read_now(name, report)
    finally:
        line.close()
    print(_sentence(state))
    for sentence in (*state.notes, *(problem for _, problem in state.problems)):
        print(f"  {sentence}")


def _choose(found: Knowledge, model: str) -> None:
    name = "" if model == "none" else model
    if name:
        found.vectors.install(print)
    found.choose_embedder(name)
    print(f"Search by meaning: {describe_choice(name, installed=True)}.")
    for one in found.names():
        _read(found, one)


def _search(found: Knowledge, arguments: argparse.Namespace) -> None:
    names = arguments.knowledge or found.names()
    passages, notes = found.search(names, arguments.question, arguments.most)
    if arguments.json:
        print(json.dumps([dataclasses.asdict(one) for one in passages], ensure_ascii=False))
        return
    for number, one in enumerate(passages, 1):
        place = f"page {one.page}" if one.page else f"line {one.line}"
        print(f"[{number}] {one.knowledge}: {one.path}, {place}\n{one.text}\n")
    for note in notes:
        print(note)
    if not passages:
        print("No passage matches the question.")
