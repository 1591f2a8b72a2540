"""Distinguishes errors in an extension's code from failures outside of it.

A failure outside, such as a service that does not answer or a missing file, fails one message. An error in the code
switches the extension off.
"""

from __future__ import annotations

from types import FrameType

from modules.plugins.hook_threads import HookTimeout
from modules.protocol.errors import PaddockError
from modules.system import external_errors as outside

# Python modules in which code waits for another process or machine.
_WAITS = frozenset({"http", "selectors", "socket", "ssl", "subprocess", "urllib"} | outside.CLIENT_PACKAGES)


class MessageFailed(PaddockError):
    """A hook could not do its work for this message. Its extension stays on."""

    code = "extension"


def is_outside(error: BaseException) -> bool:
    """Return True if an error of an extension's code was caused outside of that code.

    Outside means the operating system, a network, a service, the user's settings (a PaddockError), or a hook that
    exceeded its time budget while it waited for one of these. An error raised `from` such an error counts too.
    """
    waited = any(isinstance(one, HookTimeout) and one.outside for one in outside.exception_chain(error))
    return waited or outside.is_external(error)


def waits_outside(frame: FrameType | None) -> bool:
    """Return True if the code at `frame` waits for another process or machine."""
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in _WAITS:
            return True
        frame = frame.f_back
    return False
