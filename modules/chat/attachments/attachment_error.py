"""The error of a file that cannot be attached."""

from __future__ import annotations

from modules.protocol.errors import PaddockError


class AttachmentError(PaddockError):
    """A file cannot be attached, or is not stored."""

    code = "attachment"
