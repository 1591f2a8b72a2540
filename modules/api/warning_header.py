"""The header that names what was ignored in a request, for programs that do not read `warnings` in the answer."""

from __future__ import annotations

from collections.abc import Sequence

WARNING_HEADER = "X-Paddock-Warning"
# Servers and proxies refuse long headers.
_LONGEST = 1000


def warning_header(warnings: Sequence[str]) -> dict[str, str]:
    """Return the header with these sentences, or {} without any. What is no printable ASCII is replaced."""
    text = " ".join(" ".join(warnings).split())
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in text)
    return {WARNING_HEADER: plain[:_LONGEST]} if plain else {}
