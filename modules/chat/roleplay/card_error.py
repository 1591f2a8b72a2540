"""The error of character cards, lorebooks and personas that cannot be read or used."""

from __future__ import annotations

from modules.protocol.errors import PaddockError


class CardError(PaddockError):
    """A character card, a lorebook or a persona that cannot be read or used."""

    code = "card"
