"""Command-line flags and the frozen Config made of them. Values that the page can change are in Preferences."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.files.paths import Paths
from modules.protocol.errors import PaddockError
from modules.protocol.model_facts import AIMS
from modules.settings.access import Access, add_access_flags, read_access
from modules.settings.keep_alive import DEFAULT_KEEP_ALIVE, parse_keep_alive


@dataclass(frozen=True)
class Config(Access):
    """How this run of Paddock was started.

    `root`: the folder of the program. `data`: the folder of models/, user_data/ and .envs/ (None: `root`).
    `load_on_request`: API requests load models by name. `aliases`: other names of models for the API, with the model's
    name. `max_models`: how many are loaded at a time at most, 0 for as many as fit. `keep_alive`: seconds without use
    after which a model that requests loaded is unloaded, None for never; `keep_current`: the same for the page's model.
    `log_requests`: print a line for each API request; `log_prompts`: with the beginning of its body.
    """

    root: Path
    data: Path | None = None
    models: Path | None = None
    user_data: Path | None = None
    model: str = ""
    loader: str = ""
    no_model: bool = False
    show_echo: bool = False
    aim: str = ""
    load_anyway: bool = False
    trust_pickle: tuple[str, ...] = ()
    trust_remote_code: tuple[str, ...] = ()
    allow_env: tuple[str, ...] = ()
    load_on_request: bool = True
    aliases: tuple[tuple[str, str], ...] = ()
    log_requests: bool = False
    log_prompts: bool = False
    max_models: int = 0
    keep_alive: float | None = DEFAULT_KEEP_ALIVE
    keep_current: float | None = None

    @property
    def paths(self) -> Paths:
        """The folders and files of this run."""
        data = self.data or self.root
        return Paths(self.root, self.models or data / "models", self.user_data or data / "user_data", data / ".envs")


def parse_model_name(text: str) -> str:
    """Return the name without a slash at its end, which a shell adds when it completes a folder's name."""
    return text.rstrip("/") or text


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every sub-command takes. Defaults would override flags before the command."""
    group = parser.add_argument_group("folders")
    group.add_argument("--models", type=Path, metavar="FOLDER", help="models folder (default: models/)")
    group.add_argument("--user-data", type=Path, metavar="FOLDER", help="chats, settings, logs (default: user_data/)")
    trust = parser.add_argument_group("trust (read at start only)")
    consent: dict[str, Any] = {"action": "append", "type": parse_model_name, "metavar": "MODEL"}
    trust.add_argument("--trust-pickle", **consent, help="allow this model's pickle files")
    trust.add_argument("--trust-remote-code", **consent, help="allow this model's own Python code")
    trust.add_argument(
        "--allow-env",
        action="append",
        metavar="NAME=ADDRESS",
        help="allow sending this environment variable to this server",
    )
    parser.add_argument("--aim", choices=AIMS, help="prefer loaders optimised for this (default: the page's setting)")
    parser.add_argument("--no-venv", action="store_true", help="use the current Python instead of .venv")
    parser.add_argument(
        "--load-anyway", action="store_true", help="load models even if the memory plan says that they do not fit"
    )
    parser.add_argument("--show-echo", action="store_true", help="offer the echo loader, which is made for tests")


def add_serve_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags for serving the page."""
    group = parser.add_argument_group("the page")
    add_access_flags(group)
    group.add_argument(
        "--model",
        type=parse_model_name,
        default="",
        help="load this model at start (default: the demo, or the last one used)",
    )
    group.add_argument("--loader", default="", help="use this loader (default: the best one)")
    group.add_argument("--no-model", action="store_true", help="do not load a model at start")
    group.add_argument(
        "--no-load-on-request", action="store_true", help="do not load a model because an API request names it"
    )
    group.add_argument(
        "--max-models",
        type=int,
        default=0,
        metavar="N",
        help="load at most this many models at a time, the page's included (default: as many as fit into memory)",
    )
    group.add_argument(
        "--keep-alive",
        default="",
        metavar="SECONDS",
        help="unload a model that nothing has used for so long, such as 600 or 10m; never keeps it (default: "
        f"{DEFAULT_KEEP_ALIVE:g} for models that requests loaded, never for the page's own)",
    )
    group.add_argument(
        "--alias",
        action="append",
        default=[],
        metavar="ALIAS=MODEL",
        help="let API clients call this model by another name, such as gpt-4o=demo; repeat it to add several",
    )
    group.add_argument("--log-requests", action="store_true", help="print a line for each API request, without prompts")
    group.add_argument("--log-prompts", action="store_true", help="the same, with the beginning of what was sent")


def parse_aliases(pairs: list[str]) -> tuple[tuple[str, str], ...]:
    """Parse `ALIAS=MODEL` texts. Raise PaddockError."""
    found = {}
    for pair in pairs:
        alias, equals, name = pair.partition("=")
        alias, name = alias.strip().rstrip("/"), parse_model_name(name.strip())
        if not (alias and equals and name):
            raise PaddockError(f"--alias takes ALIAS=MODEL, such as gpt-4o=demo, not {pair!r}.")
        found[alias] = name
    return tuple(found.items())


def build_config(arguments: argparse.Namespace, root: Path, data: Path | None = None) -> Config:
    """Return the Config of these arguments. `root` and `data`: as in Config. Raise PaddockError if they conflict."""
    keep = getattr(arguments, "keep_alive", "")
    # A download creates the folder.
    creates = getattr(arguments, "command", None) == "download"
    if (models := arguments.models) and not models.is_dir() and (models.exists() or not creates):
        raise PaddockError(f"{models}, given with --models, is not a folder. Create it, or choose another.")
    user_data = arguments.user_data.resolve() if arguments.user_data else None
    has_accounts = Config(root, data, user_data=user_data).paths.users.is_file()
    return Config(
        root=root,
        data=data,
        **vars(read_access(arguments, has_accounts)),
        models=arguments.models.resolve() if arguments.models else None,
        user_data=user_data,
        model=getattr(arguments, "model", "") or "",
        loader=getattr(arguments, "loader", "") or "",
        no_model=bool(getattr(arguments, "no_model", False)),
        show_echo=arguments.show_echo,
        aim=getattr(arguments, "aim", "") or "",
        load_anyway=arguments.load_anyway,
        trust_pickle=tuple(arguments.trust_pickle or ()),
        trust_remote_code=tuple(arguments.trust_remote_code or ()),
        allow_env=tuple(getattr(arguments, "allow_env", None) or ()),
        load_on_request=not getattr(arguments, "no_load_on_request", False),
        aliases=parse_aliases(getattr(arguments, "alias", [])),
        log_requests=getattr(arguments, "log_requests", False) or getattr(arguments, "log_prompts", False),
        log_prompts=getattr(arguments, "log_prompts", False),
        max_models=max(0, getattr(arguments, "max_models", 0)),
        keep_alive=parse_keep_alive(keep) if keep else DEFAULT_KEEP_ALIVE,
        keep_current=parse_keep_alive(keep) if keep else None,
    )
