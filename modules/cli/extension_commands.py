"""`webui.py extensions …`: list, check, enable, disable, install."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys

from modules.app import App
from modules.cli.application import build_app
from modules.plugins.consent import ConsentNeeded
from modules.plugins.extension_overview import extension_statuses
from modules.plugins.extension_status import ExtensionStatus
from modules.plugins.install import install
from modules.protocol.errors import PaddockError
from modules.protocol.schema import describe
from modules.settings.config import Config
from modules.system.program_name import program_name

_NEXT_START = "This takes effect at the next start of Paddock. To switch it at once, use the Extensions tab."


def extensions(config: Config, arguments: argparse.Namespace) -> int:
    """Run the sub-command that the arguments name. Return the exit status."""
    if arguments.verb == "check":
        from modules.compat import check  # needs much that no other verb needs

        return int(check.run(config, arguments.paths, arguments.assume_packages, arguments.json))
    app = build_app(config)
    try:
        if arguments.verb == "list":
            _list(app, arguments.json)
        elif arguments.verb == "enable":
            _enable(app, arguments)
        elif arguments.verb == "disable":
            app.extensions.find(arguments.name)
            app.extensions.disable(arguments.name)
            print(f"{arguments.name} is off. {_NEXT_START}")
        else:
            folder = install(arguments.source, app.paths.extensions[1], app.paths.extension_repositories)
            print(f"{folder.name} is in {folder.parent}. Look at its files, then enable {folder.name}.")
    finally:
        app.close()
    return 0


def _list(app: App, as_json: bool) -> None:
    statuses = extension_statuses(app.extensions)
    if as_json:
        print(json.dumps([_row(status, status.name in app.extensions.saved.order) for status in statuses], indent=1))
        return
    for status in statuses:
        chosen = status.name in app.extensions.saved.order
        state = status.state if status.state in ("blocked", "consent") else ("on" if chosen else "off")
        print(f"{status.name:<22} {state:<8} {status.description or status.title}")
        for sentence in (status.message, *status.notes):
            if sentence:
                print(f"{'':<31} {sentence}")


def _row(status: ExtensionStatus, chosen: bool) -> dict[str, object]:
    row = dataclasses.asdict(dataclasses.replace(status, settings=None))
    row["settings"] = [entry.name for entry in describe(status.settings)] if status.settings else []
    return {**row, "enabled": chosen}


def _enable(app: App, arguments: argparse.Namespace) -> None:
    manager, name = app.extensions, arguments.name
    found = manager.find(name)
    if arguments.build and not arguments.packages:
        raise PaddockError("--build says how packages are installed. Give --packages too.")
    consent = found.sha256 if arguments.yes else ""
    try:
        if arguments.packages:
            manager.install_packages(name, consent, found.sha256 if arguments.build else "")
        manager.enable(name, consent)
    except ConsentNeeded:
        wants = f" It says that it wants: {', '.join(found.manifest.wants)}." if found.manifest.wants else ""
        raise PaddockError(
            f"{name} brings code that runs with your rights on this machine.{wants} Look at the files in "
            f"{found.path}, then agree to run them: {program_name()} extensions enable {name} --yes"
        ) from None
    print(f"{name} is on. {_NEXT_START}")
    for note in extension_statuses(manager)[0].notes:
        print(note, file=sys.stderr)
