"""The style sheets of the page: what would cost time with each message of a long chat."""

from __future__ import annotations

import re

from modules.ui.routes import STATIC

# `:has` without a tag, class or id of the element that has it, which looks for something at any depth.
_IN_EVERY_ELEMENT = re.compile(r"(?:^|[\s,>+~{]):has\((?!\s*[>+~])[^)]*\)", re.MULTILINE)


def test_no_selector_looks_through_everything_in_every_element() -> None:
    """A browser would read all messages for the list of messages, and again with each change of a chat."""
    sheets = list(STATIC.rglob("*.css"))
    found = {sheet.name: _IN_EVERY_ELEMENT.findall(_without_comments(sheet.read_text())) for sheet in sheets}
    assert sheets and not any(found.values()), {name: one for name, one in found.items() if one}


def _without_comments(text: str) -> str:
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
