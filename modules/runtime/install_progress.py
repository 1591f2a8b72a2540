"""Turns uv's output into progress."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, "float | None"], None]


class InstallProgress:
    """Turns uv's output into progress: the current download, and how many packages are done.

    `total`: packages to install. `report(text, fraction)` is called with the progress.
    """

    def __init__(self, title: str, total: int, report: Report) -> None:
        self._title = title
        self._total = total
        self._report = report
        self._done = 0
        self._open: list[str] = []

    def line(self, line: str) -> None:
        """Read one line of uv's output."""
        words = line.split()
        if words[:1] in (["Downloading"], ["Building"]) and len(words) > 1:
            self._open.append(" ".join(words[1:]))
        elif words[:1] in (["Downloaded"], ["Built"]) and len(words) > 1:
            self._done += 1
            self._open = [text for text in self._open if not text.startswith(words[1])]
        else:
            return
        verb = f"fetching {self._open[-1]}" if self._open else "unpacking"
        fraction = 0.05 + 0.85 * min(1.0, self._done / self._total)
        self._report(f"Installing {self._title}: {verb} ({self._total} packages)", fraction)
