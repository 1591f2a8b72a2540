"""Copy a model from the host to this machine's models folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from modules.files.paths import safe_join
from modules.library.sizes import format_size
from modules.loading.nodes.host_connection import HostConnection
from modules.loading.nodes.model_files import FileEntry, check_copy
from modules.protocol.errors import PaddockError

Report = Callable[[str], None]


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
    staging = models / f".node-{name.replace('/', '-')}"
    size, done, shown = sum(entry[1] for entry in files), 0, -1
    models.mkdir(parents=True, exist_ok=True)
    if target.exists():
        raise PaddockError(f"{target.name} in models/ is in the way of the host's model. Rename it, then load again.")
    if (free := shutil.disk_usage(models).free) < size:
        raise PaddockError(
            f"{name} takes {format_size(size)}, and {format_size(free)} are free in models/ on this machine. Free some "
            "disk space, then load again."
        )
    shutil.rmtree(staging, ignore_errors=True)
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
            f"{name} could not be copied ({error.strerror}). Check the disk of this machine, then load again."
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
