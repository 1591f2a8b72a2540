"""Copy a model from the host to this machine's models folder."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import Timeout

from modules.files.paths import safe_join
from modules.files.staging_locks import locked_folder, remove_unlocked
from modules.library.sizes import format_size
from modules.loading.nodes.host_connection import HostConnection
from modules.loading.nodes.model_files import FileEntry, check_copy
from modules.protocol.errors import PaddockError

Report = Callable[[str], None]
# The library lists no folder that begins with a dot.
_PREFIX = ".node-"
# How long a copy waits for an earlier one of the same model, which ends at its next piece once it was stopped.
_EARLIER_SECONDS = 20.0


def remove_leftovers(models: Path) -> list[str]:
    """Remove what is left of copies whose process was killed; return the names of the folders."""
    return remove_unlocked(models, _PREFIX)


def copy_model(
    host: HostConnection,
    node: str,
    models: Path,
    name: str,
    files: Sequence[FileEntry],
    report: Report,
    stopped: Callable[[], bool],
) -> None:
    """Copy the model `name` into `models`; blocking. It appears there once it is complete and was compared.

    `node`: this node's id. Raises PaddockError; nothing stays of a copy that failed or was stopped.
    """
    target = safe_join(models, name)
    staging = models / f"{_PREFIX}{name.replace('/', '-')}"
    size, done, shown = sum(entry[1] for entry in files), 0, -1
    with contextlib.ExitStack() as locks:
        try:
            locks.enter_context(locked_folder(staging, _EARLIER_SECONDS))
        except Timeout:
            raise PaddockError(
                f"Another Paddock on the node copies {name} into its models folder now. Wait for it, then load again."
            ) from None
        if target.exists():
            raise PaddockError(
                f"{target.name} in the node's models folder is in the way of the host's model. Rename it there, then "
                "load again."
            )
        if (free := shutil.disk_usage(models).free) < size:
            raise PaddockError(
                f"{name} takes {format_size(size)}, and {format_size(free)} are free in the node's models folder. Free "
                "some disk space there, then load again."
            )
        try:
            for entry, _, _ in files:
                path = safe_join(staging, entry)
                path.parent.mkdir(parents=True, exist_ok=True)
                for count in host.fetch(node, name, entry, path):
                    done += count
                    if stopped():
                        raise PaddockError("The load was cancelled.")
                    if done * 100 // max(1, size) > shown:
                        shown = done * 100 // max(1, size)
                        report(f"Copying {name} from the host: {shown} % of {format_size(size)}")
            check_copy(staging, files, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            staging.rename(target)
        except OSError as error:
            raise PaddockError(
                f"{name} could not be copied to the node ({error.strerror}). Check the node's disk, then load again."
            ) from error
