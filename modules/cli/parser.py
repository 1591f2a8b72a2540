"""The parser of the command line, and the run of a sub-command. Each prints text, or with --json JSON."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from pathlib import Path

from modules.cli.chat_parser import add_chat_parser
from modules.cli.job_parsers import add_job_parsers
from modules.cli.knowledge_parser import add_knowledge_parser
from modules.cli.model_parser import add_model_parser
from modules.cli.node_parser import add_node_parser
from modules.cli.terminal import visible_output
from modules.cli.user_commands import add_user_parser
from modules.files.paths import write_atomically
from modules.generation.presets import DEFAULT_PRESET
from modules.protocol.errors import PaddockError
from modules.settings.config import Config, add_flags, add_serve_flags, build_config, parse_model_name
from modules.system.host_environment import drop_foreign_settings, variables_quoted_in
from modules.system.program_name import program_name
from modules.system.signals import Terminated, handle_termination
from modules.system.version import VERSION


def parser() -> argparse.ArgumentParser:
    """Return the parser with every flag and sub-command."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    add_flags(common)
    top = argparse.ArgumentParser(prog=program_name(), description="Paddock: local language models in the browser.")
    top.add_argument("--version", action="version", version=f"Paddock {VERSION}")
    add_flags(top)
    add_serve_flags(top)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", title="commands (none: serve the page)")

    loaders = commands.add_parser(
        "loaders", parents=[common], help="list the loaders: installed, supported here, formats, size"
    )
    loaders.add_argument("verb", nargs="?", choices=["enable"], help="allow a loader in user_data/loaders/ to run")
    loaders.add_argument("name", nargs="?", default="", metavar="NAME", help="the loader to enable")
    loaders.add_argument("--yes", action="store_true", help="allow its present code to run on this machine")
    loaders.add_argument("--json", action="store_true", help="print a JSON list with one object for each loader")
    loaders.add_argument("--prune", action="store_true", help="remove environments that no loader uses any more")

    install = commands.add_parser("install", parents=[common], help="build a loader's environment")
    install.add_argument("name", metavar="LOADER")
    install.add_argument("--rebuild", action="store_true", help="build it again even if it exists")
    install.add_argument(
        "--variant",
        metavar="NAME",
        help="the build for another graphics card or for the CPU (`loaders` lists them); auto lets Paddock choose",
    )

    inspect = commands.add_parser(
        "inspect", parents=[common], help="show what a model is, the evidence, and who can run it"
    )
    inspect.add_argument("name", metavar="MODEL", type=parse_model_name, help="a name in models/")
    inspect.add_argument("--json", action="store_true", help="print one JSON object")

    generate = commands.add_parser("generate", parents=[common], help="answer one prompt on the terminal")
    generate.add_argument("--prompt", required=True, help="the prompt; - reads it from standard input")
    generate.add_argument("--model", type=parse_model_name, default="", help="a name in models/ (default: the demo)")
    generate.add_argument("--loader", default="", help="default: the best for this model")
    generate.add_argument(
        "--preset", default=DEFAULT_PRESET, help=f"sampling preset, or Neutral (default: {DEFAULT_PRESET})"
    )
    generate.add_argument(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="a sampling parameter or a setting of the loader",
    )
    generate.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME[=WEIGHT]",
        help="a LoRA adapter in models/; repeat it to add several (default: those saved for the model)",
    )
    generate.add_argument("--system", default="", help="system message")
    generate.add_argument("--raw", action="store_true", help="complete the prompt as it is, without the chat template")
    generate.add_argument(
        "--json", action="store_true", help="print one JSON object per line; the last has usage and timings"
    )
    _download(commands, common)
    add_job_parsers(commands, common)
    add_model_parser(commands, common)
    add_chat_parser(commands, common)
    add_knowledge_parser(commands, common)
    _extensions(commands, common)
    add_user_parser(commands, common)
    add_node_parser(commands, common)
    return top


def _download(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    download = commands.add_parser("download", parents=[common], help="download a model from the hub into models/")
    download.add_argument("name", metavar="OWNER/NAME[:REVISION]", help="a repository, at a branch, tag or commit")
    which = download.add_mutually_exclusive_group()
    which.add_argument("--file", default="", metavar="PATTERN", help="only files that match, such as '*Q4_K_M*.gguf'")
    which.add_argument("--quant", default="", help="this quantization of a GGUF model, such as Q4_K_M")
    download.add_argument("--list", action="store_true", help="list files, sizes and what fits, without downloading")
    download.add_argument("--json", action="store_true", help="print the result, or the list, as one JSON object")


def _extensions(commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser) -> None:
    top = commands.add_parser("extensions", parents=[common], help="list, check, enable, disable or install extensions")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    listed = verbs.add_parser("list", parents=[common], help="every extension: on, off, or why it cannot run")
    listed.add_argument("--json", action="store_true", help="print a JSON list with one object each")
    check = verbs.add_parser("check", parents=[common], help="test whether extensions run, each in a separate process")
    check.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="folders with a script.py or extension.py")
    check.add_argument("--json", action="store_true", help="print a JSON list with one object each")
    check.add_argument("--assume-packages", action="store_true", help="assume that missing packages are present")
    enable = verbs.add_parser("enable", parents=[common], help="switch an extension on from the next start")
    enable.add_argument("name", metavar="NAME")
    enable.add_argument("--yes", action="store_true", help="allow its present code to run on this machine")
    enable.add_argument("--packages", action="store_true", help="install the packages it needs, only for it")
    enable.add_argument("--build", action="store_true", help="build packages that have no wheel; this runs their code")
    disable = verbs.add_parser("disable", parents=[common], help="switch an extension off from the next start")
    disable.add_argument("name", metavar="NAME")
    add = verbs.add_parser("install", parents=[common], help="copy an extension in; it runs once enabled")
    add.add_argument("source", metavar="GIT_OR_FOLDER", help="https:// address, folder or zip file")


def run(root: Path, argv: list[str], data: Path | None = None) -> int:
    """Run the command of `argv`. `root` and `data`: as in Config.

    The exit status is 0, 1 for an error, 130 for Ctrl+C.
    """
    with visible_output():
        return _run_visibly(root, argv, data)


def _run_visibly(root: Path, argv: list[str], data: Path | None) -> int:
    arguments = parser().parse_args(argv)
    for stream in (getattr(stream, "exact", stream) for stream in (sys.stdout, sys.stderr)):
        if isinstance(stream, io.TextIOWrapper):
            # A pipe or terminal with a small character set gets a question mark for other characters.
            stream.reconfigure(errors="replace")
    drop_foreign_settings()
    try:
        with handle_termination():
            return _run(build_config(arguments, root, data), arguments)
    except PaddockError as error:
        print(f"\n{error.message}", file=sys.stderr)
        if error.detail:
            print(f"\nDetails:\n{error.detail}", file=sys.stderr)
        return 1
    except Terminated:
        return Terminated.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader has closed the pipe, as `head` does. Write nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if isinstance(error, ImportError) and error.name:
            # One of the host's packages is missing: webui.py installs them again.
            raise
        print(_unexpected(error, (arguments.user_data or (data or root) / "user_data") / "logs"), file=sys.stderr)
        return 1


def _run(config: Config, arguments: argparse.Namespace) -> int:
    if arguments.command is None:
        from modules.cli.serving import serve_page

        return serve_page(config)
    from modules.cli import commands

    return int(getattr(commands, arguments.command)(config, arguments))


def _unexpected(error: Exception, logs: Path) -> str:
    """Return a sentence for an unexpected error. Its traceback is written to a file."""
    trace = "".join(traceback.format_exception(error))
    try:
        write_atomically(logs / "last_error.txt", trace)
        details = f"The details are in {logs / 'last_error.txt'}."
    except PaddockError:
        details = f"Details:\n{trace}"
    names = variables_quoted_in(error)
    hint = f" The environment variable {' or '.join(names)} may be the cause: unset it and restart." if names else ""
    return f"\nPaddock ended because of an unexpected error ({type(error).__name__}: {error}).{hint} {details}"
