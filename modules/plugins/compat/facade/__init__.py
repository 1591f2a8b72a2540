"""What extensions of text-generation-webui see under `modules`: thin modules over Paddock's own objects."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from modules.plugins.compat.facade.base import FacadeModule
from modules.plugins.compat.imports import HostNameMissing

if TYPE_CHECKING:
    from modules.app import App

# Facade module -> (file, class). The page's own modules (ui, ui_chat, …) come as `pages`.
_CLASSES = {
    "LoRA": ("internals", "Internals"),
    "chat": ("chat", "Chat"),
    "extensions": ("extensions", "Extensions"),
    "github": ("internals", "Internals"),
    "html_generator": ("html_generator", "HtmlGenerator"),
    "llama_cpp_python_hijack": ("internals", "Internals"),
    "logging_colors": ("logging_colors", "Logging"),
    "models": ("models", "Models"),
    "models_settings": ("models_settings", "ModelsSettings"),
    "presets": ("presets", "Presets"),
    "shared": ("shared", "Shared"),
    "text_generation": ("text_generation", "TextGeneration"),
    "training": ("internals", "Internals"),
    "utils": ("utils", "Utils"),
}


class Facade:
    """One for a run of Paddock, and so shared by all scripts, as text-generation-webui's modules are.

    `widgets`: the components by name, which is `shared.gradio`; `pages`: the modules about the page.
    """

    def __init__(self, app: App, widgets: Any = None, pages: Mapping[str, ModuleType] | None = None) -> None:
        self.app = app
        self.widgets: Any = {} if widgets is None else widgets
        self._modules: dict[str, ModuleType] = {f"modules.{name}": module for name, module in (pages or {}).items()}
        self._modules["modules"] = _Package(self)

    def module(self, name: str) -> ModuleType:
        """The module `modules` or `modules.*`. Raises HostNameMissing."""
        if name not in self._modules:
            short = name.partition(".")[2]
            if short not in _CLASSES:
                raise HostNameMissing(name)
            file, kind = _CLASSES[short]
            self._modules[name] = getattr(importlib.import_module(f"{__name__}.{file}"), kind)(name, self)
        return self._modules[name]

    def names(self) -> list[str]:
        """Every module that there is."""
        return sorted({*self._modules, *(f"modules.{name}" for name in _CLASSES)})


class _Package(ModuleType):
    """`modules` itself: each module of the facade is an attribute of it."""

    def __init__(self, facade: Facade) -> None:
        super().__init__("modules")
        self._facade = facade

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self._facade.module(f"modules.{name}")
        except HostNameMissing as error:
            raise AttributeError(error.message) from None


__all__ = ["Facade", "FacadeModule"]
