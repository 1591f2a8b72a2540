"""The types and limits of the known settings of chats, for what comes from a page or from a file."""

from __future__ import annotations

# Characters of JSON that one setting may take.
LONGEST_SETTING = 200_000
MOST_TAGS = 20
SETTING_TYPES: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "preset": str,
    "parameters": dict,
    "system": str,
    "tools": list,
    "knowledge": list,
    "persona": str,
    "note": dict,
    "lorebooks": list,
    "group": dict,
    "summary": list,
    "overflow": str,
}
