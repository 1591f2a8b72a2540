"""modules.logging_colors: the logger."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from modules.compat.facade.base import FacadeModule

if TYPE_CHECKING:
    from modules.compat.facade import Facade

_NAME = "text-generation-webui"


class Logging(FacadeModule):
    """Text that a script logs in a hook is stored with its printed text and shown on the Extensions tab."""

    def __init__(self, name: str, facade: Facade) -> None:
        super().__init__(name, facade)
        self.logger = logging.getLogger(_NAME)
        if not self.logger.handlers:
            self.logger.addHandler(_Printed())
            self.logger.setLevel(logging.INFO)
            self.logger.propagate = False

    def setup_logging(self) -> None:
        """Do nothing: logging is already set up."""


class _Printed(logging.Handler):
    """Writes to the current stderr: within a hook, that is the extension's output."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            print(f"{record.levelname}: {record.getMessage()}", file=sys.stderr)
        except Exception:
            self.handleError(record)
