"""Records arguments and events that were dropped from an extension's calls of Gradio."""

from __future__ import annotations

import sys
import threading

from modules.plugins.extension_import import PACKAGE

_MOST = 8


class Notes:
    """Names that extensions use and that Gradio 6 no longer has, by extension."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def add(self, what: str) -> None:
        """Record that `what`, such as "Image(tool=)", was dropped for the extension whose code is running."""
        with self._lock:
            names = self._found.setdefault(caller(), [])
            if what not in names:
                names.append(what)

    def of(self, extension: str) -> tuple[str, ...]:
        """Return one sentence about an extension, or none."""
        names = self._found.get(extension)
        if not names:
            return ()
        more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
        return (f"It is written for an older Gradio; these have no effect here: {', '.join(names[:_MOST])}{more}.",)


def caller() -> str:
    """Return the extension whose code is running on this thread; "" if unknown."""
    frame = sys._getframe(1)
    while frame is not None:
        package, _, rest = str(frame.f_globals.get("__name__", "")).partition(".")
        if package == PACKAGE:
            return rest.partition(".")[0]
        frame = frame.f_back  # type: ignore[assignment]
    return ""
