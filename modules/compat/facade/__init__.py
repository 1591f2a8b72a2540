"""The `modules` package for extensions of text-generation-webui: thin modules over Paddock's own objects."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modules.compat.facade.base import Impossible
from modules.compat.facade.internals import Internals
from modules.compat.facade.model import Model
from modules.compat.facade.tokenizer import Tokenizer
from modules.compat.import_redirect import HostNameMissing

if TYPE_CHECKING:
    from modules.app import App

# Facade module -> (file, class).
_CLASSES = {
    "LoRA": ("lora", "Lora"),
    "chat": ("chat", "Chat"),
    "evaluate": ("evaluate", "Evaluate"),
    "extensions": ("extensions", "Extensions"),
    "github": ("github", "Github"),
    "html_generator": ("html_generator", "HtmlGenerator"),
    "llama_cpp_python_hijack": ("internals", "Internals"),
    "logging_colors": ("logging_colors", "Logging"),
    "models": ("models", "Models"),
    "models_settings": ("models_settings", "ModelsSettings"),
    "presets": ("presets", "Presets"),
    "prompts": ("prompts", "Prompts"),
    "shared": ("shared", "Shared"),
    "text_generation": ("text_generation", "TextGeneration"),
    "training": ("internals", "Internals"),
    "ui": ("ui", "Ui"),
    "ui_chat": ("ui_parts", "UiChat"),
    "ui_default": ("ui_parts", "UiDefault"),
    "ui_file_saving": ("ui_parts", "UiPart"),
    "ui_model_menu": ("ui_parts", "UiModelMenu"),
    "ui_notebook": ("ui_parts", "UiNotebook"),
    "ui_parameters": ("ui_parts", "UiParameters"),
    "ui_session": ("ui_parts", "UiPart"),
    "utils": ("utils", "Utils"),
    # Not a module, but an extension that ships with text-generation-webui.
    "extensions.openai": ("openai", "OpenAi"),
    "extensions.openai.script": ("openai", "Script"),
}

_OF_MODEL: dict[str, Any] = {"modules.shared.model": Model, "modules.shared.tokenizer": Tokenizer}


class Facade:
    """The facade of one App, shared by all scripts, as text-generation-webui's modules are.

    `widgets`: the components by name, which is `shared.gradio`.
    """

    def __init__(self, app: App, widgets: Any) -> None:
        self.app = app
        self.widgets = widgets
        self._modules: dict[str, ModuleType] = {"modules": _Package(self)}

    def module(self, name: str) -> ModuleType:
        """Return the module `modules` or `modules.*`, or an extension that ships with it. Raises HostNameMissing."""
        if name not in self._modules:
            short = name.removeprefix("modules.")
            if short not in _CLASSES:
                raise HostNameMissing(name)
            file, kind = _CLASSES[short]
            self._modules[name] = getattr(importlib.import_module(f"{__name__}.{file}"), kind)(name, self)
        return self._modules[name]

    def has(self, symbol: str) -> bool:
        """Return True if a symbol exists and works: `modules.chat.generate_reply`, `modules.shared.args.cpu`,
        `modules.shared.gradio['mode']`. Attributes of a loaded model are checked without one."""
        path, _, key = symbol.partition("[")
        names = path.split(".")
        found: Any = self.module(names[0])
        for place, part in enumerate(names[1:], 2):
            name = ".".join(names[:place])
            try:
                found = _OF_MODEL[name] if name in _OF_MODEL else getattr(found, part)
            except (AttributeError, HostNameMissing):
                return False
            if type(found) in (Impossible, Internals):
                return False
        return not key or key.strip("]'\"") in found


class _Package(ModuleType):
    """`modules` itself. Each module of the facade is an attribute."""

    def __init__(self, facade: Facade) -> None:
        super().__init__("modules")
        self._facade = facade

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._facade.module(f"modules.{name}")
        except HostNameMissing as error:
            raise AttributeError(error.message) from None
