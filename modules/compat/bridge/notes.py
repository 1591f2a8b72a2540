"""What had to be left out of an extension's calls of Gradio, told once for each extension."""

from __future__ import annotations

import sys
import threading

from modules.plugins.extension_import import PACKAGE

_MOST = 8


class Notes:
    """Extension -> the names that its code uses and that Gradio 6 has no more."""

    def __init__(self) -> None:
        self._found: dict[str, list[str]] = {}
        self._lock = threading.Lock()

    def add(self, what: str) -> None:
        """`what`, such as "Image(tool=)", was left out for the extension whose code is running now."""
        with self._lock:
            names = self._found.setdefault(caller(), [])
            if what not in names:
                names.append(what)

    def of(self, extension: str) -> tuple[str, ...]:
        """The note about an extension: one sentence, or none."""
        names = self._found.get(extension)
        if not names:
            return ()
        more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
        return (f"It is written for an older Gradio; these have no effect here: {', '.join(names[:_MOST])}{more}.",)


def caller() -> str:
    """The extension whose code is running on this thread, "" where it cannot be told."""
    frame = sys._getframe(1)
    while frame is not None:
        package, _, rest = str(frame.f_globals.get("__name__", "")).partition(".")
        if package == PACKAGE:
            return rest.partition(".")[0]
        frame = frame.f_back  # type: ignore[assignment]
    return ""
