"""Failures of extensions since Paddock started, and what follows from each."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable

from modules.plugins.extension_status import Fault
from modules.plugins.failures import MessageFailed, is_outside
from modules.plugins.hook_calls import HookedExtension
from modules.plugins.running_extension import describe_error

_LOG = logging.getLogger(__name__)
_LONGEST_DETAIL = 20_000


class FailureLog:
    """Records failures. Safe from any thread.

    `messages`: a sentence for each extension that was switched off, in order. `revision` grows with each change that an
    open page must show. `switch_off(name)` ends an extension after an error in its code. `notify()` announces a change.
    """

    def __init__(self, switch_off: Callable[[str], None], notify: Callable[[], None]) -> None:
        self._switch_off = switch_off
        self._notify = notify
        self._faults: dict[str, Fault] = {}
        self.messages: list[str] = []
        self.revision = 0

    def get(self, name: str) -> Fault | None:
        """Return why an extension was switched off; None if it was not."""
        return self._faults.get(name)

    def set(self, name: str, fault: Fault) -> None:
        """Record why an extension is off."""
        self._faults[name] = fault

    def clear(self, name: str) -> None:
        """Forget why an extension was switched off: it is about to be tried again."""
        self._faults.pop(name, None)

    def changed(self) -> None:
        """Announce a change that no user asked for: an extension failed, or works again."""
        self.revision += 1
        self._notify()

    def report(
        self, extension: HookedExtension, hook: str, error: BaseException, detail: str = ""
    ) -> MessageFailed | None:
        """Handle a failure of an extension.

        An error in its code switches it off until Paddock starts again or the user retries. If something outside of the
        extension failed, such as a service that does not answer, it stays on; the returned error fails the message.
        """
        if isinstance(error, MessageFailed):
            return error
        trace = detail or "".join(traceback.format_exception(type(error), error, error.__traceback__))
        trace = trace[-_LONGEST_DETAIL:]
        reason = describe_error(error)
        if hook != "load" and is_outside(error):
            return self._report_outside(extension, hook, reason, trace)
        message = f"{extension.title} failed in {hook} and is switched off until Paddock starts again: {reason}."
        if hook == "load":
            message = f"{extension.title} could not be loaded: {reason}."
        self._faults[extension.name] = Fault(hook, message, trace)
        self.messages.append(message)
        _LOG.warning("%s", message)
        self._switch_off(extension.name)
        self.changed()
        return None

    def _report_outside(self, extension: HookedExtension, hook: str, reason: str, detail: str) -> MessageFailed:
        """Show the failure on the extension's card until the hook works again."""
        message = f"{extension.title} could not do its part ({hook}): {reason}."
        advice = "Check what it needs, then try again. To do without it, switch it off on the Extensions tab."
        _LOG.warning("%s", message)
        extension.last_failure = Fault(hook, message, detail)
        self.changed()
        return MessageFailed(f"{message} {advice}", detail=detail)
