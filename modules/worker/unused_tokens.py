"""Tokens that only fill up a vocabulary: padding and reserved tokens. No loader prints them."""

from __future__ import annotations

import re

_UNUSED = re.compile(
    r"\[PAD\d+\]|[<\[]unused_?\d+[>\]]|<\|?dummy_?\d+\|?>|<\|?extra_?\d+\|?>|<\|?extra_id_?\d+\|?>"
    r"|[<\[]\|?(?:reserved|placeholder|unassigned)(?:_special)?(?:_token)?_?\d+\|?[>\]]",
    re.IGNORECASE,
)


def is_unused_token(name: str, template: str) -> bool:
    """Return True if the token `name` only fills up the vocabulary and the chat template `template` does not use it."""
    return bool(_UNUSED.fullmatch(name)) and name not in template
