"""Runs a Python file as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.machinery import SourceFileLoader


class CurrentSourceLoader(SourceFileLoader):
    """Compiles a file each time, and keeps no bytecode of it.

    Python takes kept bytecode for current if the file has the same size and was changed in the same second. A file
    that was edited and is loaded again at once would run as it was before.
    """

    def path_stats(self, path: str) -> Mapping[str, int]:  # type: ignore[override]
        """Say that nothing is known of the file, which makes Python read the file alone."""
        raise OSError("no bytecode is kept")
