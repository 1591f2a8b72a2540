"""The settings of a chat that are about its scene, as options for prompts: persona, author's note, lorebooks, group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from modules.chat.messages import ChatOptions
from modules.chat.roleplay.card_fields import depth_prompt
from modules.chat.roleplay.group_settings import read_group
from modules.chat.roleplay.lore_values import texts
from modules.chat.roleplay.personas import Personas
from modules.protocol.errors import PaddockError

# In a chat's settings: no persona, though there is a default one.
NO_PERSONA = "-"


def scene_options(options: ChatOptions, settings: Mapping[str, object], personas: Personas | None) -> ChatOptions:
    """Return the options with what these settings of a chat say. A persona that is gone is as if none was chosen."""
    chosen = settings.get("persona")
    persona = None
    if personas is not None and chosen != NO_PERSONA:
        try:
            persona = personas.choose(chosen if isinstance(chosen, str) else "", options.character)[1]
        except PaddockError:
            persona = None
    return replace(
        options,
        name1=persona.name if persona else options.name1,
        persona=persona.description if persona else "",
        note=depth_prompt(settings.get("note")),
        lorebooks=texts(settings.get("lorebooks")),
        group=read_group(settings.get("group")),
    )
