"""The names of text-generation-webui's fields for characters and templates."""

from __future__ import annotations

# These have an effect only in a mode with a character.
OF_CHARACTERS = (
    "character",
    "name1",
    "user_name",
    "name2",
    "bot_name",
    "user_bio",
    "context",
    "greeting",
    "chat_template_str",
    "chat_instruct_command",
)
# Beside text-generation-webui's: names of lorebooks.
LOREBOOKS = "lorebooks"
MODE_FIELDS = frozenset({"mode", "instruction_template", "instruction_template_str", *OF_CHARACTERS, LOREBOOKS})
