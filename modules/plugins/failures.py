"""Tells what lies outside of an extension (a service that does not answer, a file that is not there) from a fault in
its code: the first fails one message, the second switches the extension off."""

from __future__ import annotations

from types import FrameType

from modules.plugins.hook_threads import HookTimeout
from modules.protocol.errors import PaddockError
from modules.system import external_errors as outside

# Modules of Python in which code waits for another process or machine.
_WAITS = frozenset({"http", "selectors", "socket", "ssl", "subprocess", "urllib"} | outside.CLIENT_PACKAGES)


class MessageFailed(PaddockError):
    """A hook could not do its work for this message. Its extension stays on."""

    code = "extension"


def is_outside(error: BaseException) -> bool:
    """Whether an error of an extension's code tells of something outside of that code: the operating system, a network,
    a service, the user's settings (a PaddockError), or a hook that was waiting for one of those when its seconds were
    over. An error that was raised `from` such a one counts like it."""
    waited = any(isinstance(one, HookTimeout) and one.outside for one in outside.exception_chain(error))
    return waited or outside.is_external(error)


def waits_outside(frame: FrameType | None) -> bool:
    """Whether code that stands at `frame` waits for another process or machine."""
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).partition(".")[0] in _WAITS:
            return True
        frame = frame.f_back
    return False
