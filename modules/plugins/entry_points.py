"""Extensions in installed Python packages, named by entry points of the group `paddock.extensions`.

Nothing of a package is imported here. Its extension needs the same consent as one in a folder.
"""

from __future__ import annotations

import logging
import re
from importlib import metadata
from pathlib import Path

from modules.system.package_folders import package_folders

GROUP = "paddock.extensions"
_LOG = logging.getLogger(__name__)
# The name of an extension is also the name of its folders for data and packages.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,79}")


def installed_extensions() -> dict[str, Path]:
    """Return the folders that installed packages name as extensions, by name.

    An entry point names a package: `dice = "paddock_dice"`. Its folder holds the extension.py. Invalid names and
    packages that cannot be found are logged and skipped.
    """
    found: dict[str, Path] = {}
    for entry in metadata.entry_points(group=GROUP):
        folder = next((path for path in package_folders(entry.value) if path.is_dir()), None)
        if not NAME.fullmatch(entry.name) or folder is None:
            _LOG.warning("Ignored the entry point %s = %s of %s: it names no package.", entry.name, entry.value, GROUP)
            continue
        found[entry.name] = folder
    return found
