"""The routes for the settings of one chat: what the panel "This chat" reads and changes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from pydantic import BaseModel

from modules.chat.chat_preferences import check_parameters
from modules.chat.setting_types import LONGEST_SETTING, SETTING_TYPES
from modules.protocol.errors import PaddockError, SettingError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import Setting, describe
from modules.settings.sampling_preferences import NEUTRAL
from modules.ui.order.chat_list import folder_entry

if TYPE_CHECKING:
    from modules.app import App

# Stands in an address for a new chat, which the page has not created yet.
NEW = "new"


class SettingsRequest(BaseModel):
    """Settings to change: names with values of JSON, None to remove one."""

    changes: dict[str, Any] = {}


def add_chat_settings_routes(routes: APIRouter, app: App) -> None:
    """Add the routes /paddock/chats/{chat_id}/settings."""
    chats = app.chats

    @routes.get("/chats/{chat_id}/settings")
    def read(chat_id: str) -> dict[str, Any]:
        """Return the settings of a chat, what they may be, and what holds where the chat has none."""
        return chat_facts(app, "" if chat_id == NEW else chat_id)

    @routes.post("/chats/{chat_id}/settings")
    def change(chat_id: str, request: SettingsRequest) -> dict[str, Any]:
        check_settings(request.changes)
        if isinstance(values := request.changes.get("parameters"), dict):
            check_parameters(app.sampling.params(), values)
        settings = chats.settings.change(chat_id, request.changes)
        return {"settings": settings}


def check_settings(changes: dict[str, Any]) -> None:
    """Raise SettingError if a known setting has a wrong type, or a value is too long."""
    for name, value in changes.items():
        if value is None:
            continue
        if not isinstance(value, SETTING_TYPES.get(name, object)):
            raise SettingError(f"The setting {name[:40]!r} of a chat cannot be {str(value)[:80]!r}. Reload the page.")
        if len(json.dumps(value)) > LONGEST_SETTING:
            raise PaddockError(f"This is too long for a setting of a chat ({name[:40]}). Shorten it, or attach a file.")


def chat_facts(app: App, chat_id: str) -> dict[str, Any]:
    """Return everything that the panel shows of a chat; with an empty id, of a new one."""
    chats, preferences = app.chats, app.chat_preferences
    folder = chats.folders.of_chat(chat_id) if chat_id else None
    head = chats.head(chat_id) if chat_id else None
    return {
        "title": head.title if head else "",
        "temporary": head.temporary if head else False,
        "tags": list(head.tags) if head else [],
        "character": head.character if head else str(app.settings.get("character", "") or ""),
        "settings": chats.settings.get(chat_id) if chat_id else {},
        "folder": folder_entry(folder) if folder else None,
        "choices": {
            "models": app.library.names(),
            "presets": [NEUTRAL, *(name for name in app.presets.names() if name != NEUTRAL)],
            "characters": app.characters.names(),
            "parameters": [_parameter(one, app.sampling.params()) for one in describe(SamplingParams)],
        },
        "inherited": {
            "model": app.supervisor.state.model or "",
            "preset": app.sampling.preset_name(),
            "system": preferences.inherited_system(chat_id),
            "tools": len(app.toolbox.choices.switched_on(chat_id)),
        },
    }


def _parameter(setting: Setting, params: SamplingParams) -> dict[str, Any]:
    info = setting.info
    return {
        "name": setting.name,
        "label": info.label,
        "kind": setting.kind.__name__,
        "minimum": info.minimum,
        "maximum": info.maximum,
        "step": info.step or (1 if setting.kind is int else "any"),
        "choices": [str(choice) for choice in info.choices],
        "value": getattr(params, setting.name),
    }
