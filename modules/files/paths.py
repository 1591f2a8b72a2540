"""Every folder once, the one resolver that turns a user's name into a path, and the one way to write a file."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from modules.protocol.errors import PaddockError

# A file system takes 255 bytes, ending and all; a letter may have four.
_LONGEST = 100
_MOST_BYTES = 200


# Control characters, lines of other kinds, and what turns the direction of text around: "a\u202efdp.exe" is shown as
# "aexe.pdf".
_UNREADABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069]")
# Devices of Windows, whatever their ending.
_RESERVED = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(?:[.:].*)?", re.IGNORECASE)


class PathError(PaddockError):
    """A name that would lead out of its folder, or that cannot be a file's name."""

    code = "path"


@dataclass(frozen=True)
class Paths:
    """Where everything lies.

    `root` holds the program: the clone, or a folder of the installed package. `models` and `user_data` may be put
    elsewhere by flags. `environments`: the loaders' Python environments.
    """

    root: Path
    models: Path
    user_data: Path
    environments: Path

    def display(self, folder: Path) -> str:
        """The folder as a person is told of it: below the clone from there ("models/"), else in full."""
        return f"{folder.relative_to(self.root).as_posix()}/" if folder.is_relative_to(self.root) else str(folder)

    @property
    def presets(self) -> Path:
        """Presets that ship."""
        return self.root / "presets"

    @property
    def own_presets(self) -> Path:
        """Presets that the user saved."""
        return self.user_data / "presets"

    @property
    def loaders(self) -> Path:
        """One folder a loader."""
        return self.root / "loaders"

    @property
    def own_loaders(self) -> Path:
        """The user's own loaders, one folder each."""
        return self.user_data / "loaders"

    @property
    def loader_consents(self) -> Path:
        """Which of the user's own loaders may run, as YAML."""
        return self.user_data / "loaders.yaml"

    @property
    def extensions(self) -> tuple[Path, Path]:
        """Folders with one folder an extension: beside the program, and beside the user's data."""
        return self.root / "extensions", self.user_data / "extensions"

    @property
    def extension_repositories(self) -> Path:
        """Git's data of extensions that were cloned, one folder each."""
        return self.user_data / "extension_repositories"

    @property
    def extension_packages(self) -> Path:
        """Packages that extensions asked for, one folder each."""
        return self.user_data / "extension_packages"

    @property
    def extension_data(self) -> Path:
        """What extensions write, one folder each."""
        return self.user_data / "extension_data"

    @property
    def extension_workdir(self) -> Path:
        """Where scripts of text-generation-webui run: the folders that they expect, as links."""
        return self.user_data / "extension_workdir"

    @property
    def extension_settings(self) -> Path:
        """Which extensions are on, their order, settings and consents, as YAML."""
        return self.user_data / "extensions.yaml"

    @property
    def chats(self) -> Path:
        """The SQLite file of all chats."""
        return self.user_data / "chats.sqlite3"

    @property
    def characters(self) -> Path:
        """One YAML file a character."""
        return self.user_data / "characters"

    @property
    def settings(self) -> Path:
        """What the user set, as YAML."""
        return self.user_data / "settings.yaml"

    @property
    def model_settings(self) -> Path:
        """Loader settings saved per model, as YAML."""
        return self.user_data / "model_settings.yaml"

    @property
    def allowed_variables(self) -> Path:
        """Which environment variables may be sent to which server, as YAML."""
        return self.user_data / "allowed_variables.yaml"

    @property
    def measured_memory(self) -> Path:
        """What loads took on this machine, as YAML."""
        return self.user_data / "measured_memory.yaml"

    @property
    def notebook(self) -> Path:
        """The Notebook tab's text."""
        return self.user_data / "notebook.txt"


def safe_join(folder: Path, name: str, *, follow_links: bool = False) -> Path:
    """The path that a user's `name` (forward slashes) means below `folder`. Raises PathError.

    Refused: the empty name, absolute paths, drives, devices of Windows, `..`, control and half characters, what turns
    the direction of text around, and links that lead out of the folder.
    `follow_links`: links that the owner of the folder made may lead elsewhere (a models/ folder often holds some).
    """
    parts = PurePosixPath(name).parts
    bad = (
        not parts
        or name.strip() in ("", ".", "/")
        or any(part == ".." for part in parts)
        or _UNREADABLE.search(name)
        or any(_RESERVED.fullmatch(part) for part in parts)
        or PurePosixPath(name).is_absolute()
        or bool(PureWindowsPath(name).drive)
        or "\\" in name
        or not _can_be_on_a_disk(name)
    )
    if bad:
        raise PathError(f"{name!r} cannot be a name here. Use a plain name without '..', '\\' or a leading '/'.")
    path = folder.joinpath(*parts)
    if not follow_links and not path.resolve().is_relative_to(folder.resolve()):
        raise PathError(f"{name!r} is a link that leads out of {folder.name}/. Put the file itself there.")
    return path


def _can_be_on_a_disk(name: str) -> bool:
    """Whether the system can be asked for it: half a character (a lone surrogate) has no bytes."""
    try:
        return bool(os.fsencode(name))
    except UnicodeEncodeError:
        return False


def safe_file_path(folder: Path, name: str, ending: str, noun: str) -> Path:
    """The file right in `folder` that a user's `name` means; `noun`: what the name is, such as "preset". Raises
    PathError, also for a name that no disk would take."""
    if len(name) > _LONGEST or len(name.encode(errors="replace")) > _MOST_BYTES:
        most = f"{_LONGEST} Latin letters, or {_MOST_BYTES // 4} of any"
        raise PathError(f"The {noun}'s name {name[:40] + '…'!r} is too long. Use at most {most}.")
    path = safe_join(folder, f"{name}{ending}")
    if path.parent != folder or name.startswith(".") or not name.strip():
        raise PathError(f"{name!r} cannot be a {noun}'s name. Use a plain name without '/' or a leading dot.")
    return path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write all of `content` or nothing: temporary file, fsync, rename. Raises PaddockError, on a full disk say."""
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
            "permissions, then save again; the earlier version is untouched.",
            detail=str(error),
        ) from error
