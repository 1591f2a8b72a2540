"""All folders of Paddock, the resolver of user-supplied names to paths, and atomic writing of files."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from modules.protocol.errors import PaddockError

# File systems allow 255 bytes with the ending, and a letter may take four bytes.
_MAX_LETTERS = 100
_MAX_BYTES = 200

# Control characters, Unicode line separators, and marks that change the direction of text: "a\u202efdp.exe" is shown
# as "aexe.pdf".
UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
# Windows devices, with any ending.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(?:[.:].*)?", re.IGNORECASE)


class PathError(PaddockError):
    """A name that leads out of its folder, or that cannot be a file name."""

    code = "path"


@dataclass(frozen=True)
class Paths:
    """The folders and files of Paddock.

    `root`: the folder of the program, which is the clone or a folder of the installed package. `models` and
    `user_data`: may be set by flags. `environments`: the loaders' Python environments.
    """

    root: Path
    models: Path
    user_data: Path
    environments: Path
    # Of an account: the folder of its chats, presets, characters and settings. None: in `user_data`.
    personal: Path | None = None

    def display(self, folder: Path) -> str:
        """Return the folder as text to show: relative to the program if inside it ("models/"), else the full path."""
        return f"{folder.relative_to(self.root).as_posix()}/" if folder.is_relative_to(self.root) else str(folder)

    @property
    def presets(self) -> Path:
        """The shipped presets."""
        return self.root / "presets"

    @property
    def own_presets(self) -> Path:
        """The presets that the user saved."""
        return (self.personal or self.user_data) / "presets"

    @property
    def loaders(self) -> Path:
        """The shipped loaders, one folder each."""
        return self.root / "loaders"

    @property
    def own_loaders(self) -> Path:
        """The user's own loaders, one folder each."""
        return self.user_data / "loaders"

    @property
    def loader_consents(self) -> Path:
        """The consents to run the user's own loaders, as YAML."""
        return self.user_data / "loaders.yaml"

    @property
    def variants(self) -> Path:
        """The variants of loaders that the user chose, as YAML: {loader: variant}."""
        return self.user_data / "variants.yaml"

    @property
    def extensions(self) -> tuple[Path, Path]:
        """Folders with one folder for each extension: the shipped ones and the user's."""
        return self.root / "extensions", self.user_data / "extensions"

    @property
    def extension_repositories(self) -> Path:
        """Git data of cloned extensions, one folder each."""
        return self.user_data / "extension_repositories"

    @property
    def extension_packages(self) -> Path:
        """Packages that extensions require, one folder for each extension."""
        return self.user_data / "extension_packages"

    @property
    def extension_data(self) -> Path:
        """Data that extensions write, one folder for each extension."""
        return self.user_data / "extension_data"

    @property
    def extension_workdir(self) -> Path:
        """The working directory of text-generation-webui's scripts: the folders that they expect, as links."""
        return self.user_data / "extension_workdir"

    @property
    def extension_settings(self) -> Path:
        """The enabled extensions, their order, settings and consents, as YAML."""
        return self.user_data / "extensions.yaml"

    @property
    def trash(self) -> Path:
        """Models that were discarded, one folder each."""
        return self.user_data / "trash"

    @property
    def chats(self) -> Path:
        """The SQLite database of all chats."""
        return (self.personal or self.user_data) / "chats.sqlite3"

    @property
    def attachments(self) -> Path:
        """The files that messages of chats name, by the hash of their content."""
        return (self.personal or self.user_data) / "attachments"

    @property
    def knowledge(self) -> Path:
        """What was read of the documents that chats can use, and the files that were added to it."""
        return (self.personal or self.user_data) / "knowledge"

    @property
    def knowledge_list(self) -> Path:
        """The names and folders of all knowledge, as YAML."""
        return (self.personal or self.user_data) / "knowledge.yaml"

    @property
    def knowledge_packages(self) -> Path:
        """The packages that make and keep vectors of knowledge."""
        return self.user_data / "knowledge_packages"

    @property
    def characters(self) -> Path:
        """The characters, one YAML file each."""
        return (self.personal or self.user_data) / "characters"

    @property
    def settings(self) -> Path:
        """The user's settings, as YAML."""
        return (self.personal or self.user_data) / "settings.yaml"

    @property
    def tools(self) -> Path:
        """The tools that are on in chats, and those that may run without asking, as YAML."""
        return (self.personal or self.user_data) / "tools.yaml"

    @property
    def prompts(self) -> Path:
        """The user's library of prompts, as YAML: names with texts."""
        return (self.personal or self.user_data) / "prompts.yaml"

    @property
    def mcp_servers(self) -> Path:
        """The MCP servers, as JSON in the form that other programs use."""
        return self.user_data / "mcp.json"

    @property
    def users(self) -> Path:
        """The accounts, as YAML."""
        return self.user_data / "users.yaml"

    @property
    def users_data(self) -> Path:
        """What belongs to accounts, one folder each."""
        return self.user_data / "users"

    @property
    def model_settings(self) -> Path:
        """Loader settings per model, as YAML."""
        return self.user_data / "model_settings.yaml"

    @property
    def allowed_variables(self) -> Path:
        """The environment variables that may be sent to servers, as YAML."""
        return self.user_data / "allowed_variables.yaml"

    @property
    def measured_memory(self) -> Path:
        """The memory that loads used on this machine, as YAML."""
        return self.user_data / "measured_memory.yaml"

    @property
    def model_images(self) -> Path:
        """Copies of images that models are shown, which workers may read. They are removed after a day."""
        return self.user_data / "model_images"

    @property
    def notebook(self) -> Path:
        """The text of the first notebook. Further ones lie in the folder `notebooks` beside it."""
        return (self.personal or self.user_data) / "notebook.txt"

    @property
    def job_texts(self) -> Path:
        """Texts and training data that the page sent for jobs."""
        return self.user_data / "job_texts"

    @property
    def jobs(self) -> Path:
        """Jobs that were started, one folder each."""
        return self.user_data / "jobs"

    @property
    def datasets(self) -> Path:
        """Files of data sets that jobs downloaded."""
        return self.user_data / "datasets"

    @property
    def measurements(self) -> Path:
        """What quantizers measured of models, one folder for each method."""
        return self.user_data / "measurements"


def safe_join(folder: Path, name: str, *, follow_links: bool = False) -> Path:
    """Return the path of a user's `name` (with forward slashes) below `folder`. Raise PathError.

    Refused: the empty name, absolute paths, drives, Windows devices, `..`, control characters, lone surrogates, marks
    that change the direction of text, and links that lead out of the folder.
    `follow_links`: allow links that lead out of the folder, which its owner made (a models/ folder often has some).
    """
    parts = PurePosixPath(name).parts
    bad = (
        not parts
        or name.strip() in ("", ".", "/")
        or any(part == ".." for part in parts)
        or UNREADABLE.search(name)
        or any(_RESERVED.fullmatch(part) for part in parts)
        or PurePosixPath(name).is_absolute()
        or bool(PureWindowsPath(name).drive)
        or "\\" in name
        or not _can_be_on_a_disk(name)
    )
    if bad:
        raise PathError(f"{name!r} is not a valid name. Use a plain name without '..', '\\' or a leading '/'.")
    path = folder.joinpath(*parts)
    # Unlike Path.resolve before Python 3.13, realpath raises nothing for links in a circle; opening one fails.
    if not follow_links and not Path(os.path.realpath(path)).is_relative_to(folder.resolve()):
        raise PathError(f"{name!r} is a link that leads out of {folder.name}/. Put the file itself there.")
    return path


def _can_be_on_a_disk(name: str) -> bool:
    """Return True if the name can be encoded for the file system. A lone surrogate cannot."""
    try:
        return bool(os.fsencode(name))
    except UnicodeEncodeError:
        return False


def safe_file_path(folder: Path, name: str, ending: str, noun: str) -> Path:
    """Return the path of the file with a user's `name` and `ending` directly in `folder`.

    `noun`: what the name is, such as "preset". Raises PathError, also for a name that is too long for a file system.
    """
    if len(name) > _MAX_LETTERS or len(name.encode(errors="replace")) > _MAX_BYTES:
        most = f"{_MAX_LETTERS} Latin letters, or {_MAX_BYTES // 4} of any"
        raise PathError(f"The {noun}'s name {name[:40] + '…'!r} is too long. Use at most {most}.")
    path = safe_join(folder, f"{name}{ending}")
    if path.parent != folder or name.startswith(".") or not name.strip():
        raise PathError(f"{name!r} is not a valid name of a {noun}. Use a plain name without '/' or a leading dot.")
    return path


def free_path(path: Path, mark: str = "-") -> Path:
    """Return `path`, or with `mark` and the first number from 2 before its ending if there is such a file."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}{mark}{number}{path.suffix}")
    return found


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write all of `content` or nothing (temporary file, fsync, rename). Raise PaddockError, e.g. on a full disk."""
    data = content.encode() if isinstance(content, str) else content
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                Path(temporary).unlink()
        raise PaddockError(
            f"{path.name} could not be saved ({error.strerror}). Free some disk space or check the folder's "
            "permissions, then save again. The earlier version is unchanged.",
            detail=str(error),
        ) from error
