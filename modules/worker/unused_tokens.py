"""Tokens that are there to fill a vocabulary up: padding and reserved places. No loader prints them."""

from __future__ import annotations

import re

_UNUSED = re.compile(
    r"\[PAD\d+\]|[<\[]unused_?\d+[>\]]|<\|?dummy_?\d+\|?>|<\|?extra_?\d+\|?>|<\|?extra_id_?\d+\|?>"
    r"|[<\[]\|?(?:reserved|placeholder|unassigned)(?:_special)?(?:_token)?_?\d+\|?[>\]]",
    re.IGNORECASE,
)


def is_unused_token(name: str, template: str) -> bool:
    """Whether the token of that name only fills the vocabulary up: `template`, the model's, does not use it either."""
    return bool(_UNUSED.fullmatch(name)) and name not in template
