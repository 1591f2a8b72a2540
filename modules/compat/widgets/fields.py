"""Creates the named components."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules.compat.bridge import Bridge
from modules.compat.widgets.missing_widgets import BUTTONS, MODEL, STORED
from modules.compat.widgets.values import Values
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import describe

# Buttons of text-generation-webui's page -> their ids. Pressing one does what Paddock's own button does, and the other
# way round.
ACTIONS = {
    "Generate": "Generate",
    "Stop": "script-stop",
    "Regenerate": "Regenerate",
    "Continue": "Continue",
    "Remove last": "Remove-last",
    "Start new chat": "new-chat-btn",
    "load_model": "script-load-model",
    "unload_model": "script-unload-model",
}
# Fields whose changes are sent to the page.
WATCHED = ("display", "textbox", "unique_id")
_CHAT = ("Chat input", "display", "history", "interface_state", "textbox", "unique_id", "theme_state")
_STATE = (
    "character_menu",
    "chat_style",
    "chat_template_str",
    "chat-instruct_command",
    "context",
    "custom_stopping_strings",
    "custom_system_message",
    "enable_thinking",
    "greeting",
    "instruction_template",
    "instruction_template_str",
    "loader",
    "lora_menu",
    "mode",
    "model_menu",
    "name1",
    "name2",
    "preset_menu",
    "start_with",
    "stream",
    "truncation_length",
    "user_bio",
)
DELETER = ("file_deleter", "delete_filename", "delete_root", "delete_confirm", "delete_cancel")


class Fields:
    """Creates components of the bridge's classes, so that scripts can use them as in older versions.

    `delete(path)` deletes a file for a script, if that is allowed.
    """

    def __init__(self, bridge: Bridge, values: Values, delete: Callable[[str], None]) -> None:
        self._gradio: Any = bridge
        self._values = values
        self._delete = delete
        sampling = [entry.name for entry in describe(SamplingParams)]
        known = (*ACTIONS, *_CHAT, *_STATE, *MODEL, *STORED, *BUTTONS, *DELETER, *sampling, "interface")
        self._names = sorted(set(known))

    def names(self) -> list[str]:
        """Return all names."""
        return self._names

    def make(self, name: str, render: bool = True) -> Any:
        """Return a new hidden component of that name. If not rendered, it is on no page."""
        if name in ACTIONS:
            return self._gradio.Button(name, elem_id=ACTIONS[name], render=render)
        if name in BUTTONS:
            return self._gradio.Button(name, elem_id=f"script-{name.replace(' ', '-')}", render=render)
        not_chat = (*STORED, *MODEL, *DELETER, "textbox", "Chat input", "theme_state")
        classes = [] if name in not_chat else ["script-chat"]
        field = self._field(name)
        return field(elem_id=f"script-{name.replace(' ', '-')}", elem_classes=classes, render=render)

    def deleter(self) -> dict[str, Any]:
        """Return the dialog that asks before it deletes a file. A script fills and shows it."""
        gradio = self._gradio
        with gradio.Group(visible=False, elem_id="script-file-deleter") as group:
            name = gradio.Textbox(label="File to delete")
            root = gradio.Textbox(label="Folder", interactive=False)
            with gradio.Row():
                confirm = gradio.Button("Delete", variant="stop")
                cancel = gradio.Button("Cancel")
        confirm.click(lambda where, file: self._delete(str(Path(where or "", file or ""))), [root, name], None).then(
            lambda: gradio.update(visible=False), None, group
        )
        cancel.click(lambda: gradio.update(visible=False), None, group)
        return dict(zip(DELETER, (group, name, root, confirm, cancel), strict=True))

    def _field(self, name: str) -> Any:
        values, base = self._values, self._gradio.Textbox

        def preprocess(self: Any, payload: object) -> Any:
            return values.read(name, payload)

        def postprocess(self: Any, value: Any) -> str:
            return "" if value is None else values.write(name, value)

        def get_config(self: object, *given: object) -> dict[str, Any]:
            # The browser has a marker or a chat's id, never the value itself.
            return {**base.get_config(self, *given), "value": ""}

        def get_value(self: object) -> Any:
            return values.read(name, "")

        def set_value(self: object, value: object) -> None:
            """Ignore the value: it is stored elsewhere."""

        ours = {"preprocess": preprocess, "postprocess": postprocess, "get_config": get_config}
        return type(base)("Textbox", (base,), {**ours, "value": property(get_value, set_value), "__module__": __name__})
