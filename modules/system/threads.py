"""Starts threads of the host. Their unexpected exceptions are logged and become a PaddockError."""

from __future__ import annotations

import logging
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from modules.protocol.errors import PaddockError

_LOG = logging.getLogger(__name__)


@contextmanager
def explain_errors(doing: str) -> Iterator[None]:
    """Turn an unexpected exception of the block into a PaddockError, and log its traceback.

    `doing`: the start of the error's sentence, such as "Loading demo".
    """
    try:
        yield
    except PaddockError:
        raise
    except Exception as error:
        _LOG.exception("%s failed.", doing)
        raise PaddockError(
            f"{doing} failed with an unexpected error ({_describe(error)}). Try again. If it fails again, "
            "report it with the details from the log.",
            detail=traceback.format_exc(),
        ) from error


def host_thread(
    name: str, run: Callable[[], object], doing: str, failed: Callable[[PaddockError], None] | None = None
) -> threading.Thread:
    """Return a daemon thread that calls `run`, not yet started.

    `failed` is called on that thread with the PaddockError that `run` raised, or with one for any other exception.
    Without `failed`, the error is only logged. `doing`: as for `explain_errors`.
    """

    def safely() -> None:
        try:
            with explain_errors(doing):
                run()
        except PaddockError as error:
            if failed is not None:
                failed(error)
            else:
                _LOG.warning("%s", error.message)

    # Older Pythons fill these variables on first use, and other threads can see them incomplete: uv's package and
    # zoneinfo fail then. Fill them here, before a second thread starts.
    sysconfig.get_config_vars()
    return threading.Thread(target=safely, name=name, daemon=True)


def _describe(error: Exception) -> str:
    """Return the exception's class and the first line of its text."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
