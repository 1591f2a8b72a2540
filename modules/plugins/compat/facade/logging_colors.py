"""modules.logging_colors: the logger."""

from __future__ import annotations

import logging

from modules.plugins.compat.facade.base import FacadeModule


class Logging(FacadeModule):
    """Scripts log to Paddock's log, under the name that they know."""

    logger = logging.getLogger("text-generation-webui")

    def setup_logging(self) -> None:
        """Paddock has set up its log."""
