"""The composition root: one App, built once at start and handed to whoever needs it."""

from __future__ import annotations

from functools import cached_property

from modules.chat.characters import Characters
from modules.chat.service import ChatService
from modules.chat.store import ChatStore
from modules.config import Config
from modules.generation.presets import Presets
from modules.library.machine import inspect_machine, process_memory
from modules.library.scan import ModelLibrary
from modules.model_loading import ModelLoading
from modules.plugins.kept import Kept
from modules.plugins.manager import ExtensionManager
from modules.preferences import Preferences
from modules.runtime.environment import Environments
from modules.runtime.registry import Registry
from modules.runtime.supervisor import Supervisor
from modules.settings import ModelSettings, YamlStore

DEMO = "demo.Q8_0.gguf"


class App:
    """Everything that a run of Paddock owns; `close` ends the worker and closes the files."""

    def __init__(self, config: Config) -> None:
        paths = config.paths
        self.config = config
        self.paths = paths
        self.machine = inspect_machine()
        self.settings = Preferences(YamlStore(paths.settings))
        self.registry = Registry(paths.loaders)
        self.environments = Environments(paths.environments, paths.requirements, self.machine)
        self.library = ModelLibrary(paths.models)
        self.supervisor = Supervisor(paths.root, self.environments, process_memory)
        self.models = ModelLoading(
            config, self.machine, self.registry, self.library, self.supervisor, ModelSettings(paths.model_settings)
        )
        self.presets = Presets(paths.presets, paths.own_presets)
        self.characters = Characters(paths.characters)

    @cached_property
    def chats(self) -> ChatService:
        """The chats, opened by whoever first asks: a command that needs none leaves the file to the page."""
        store = ChatStore(self.paths.chats)
        return ChatService(store, self.supervisor, self.characters, extensions=self.extensions)

    @cached_property
    def extensions(self) -> ExtensionManager:
        """The extensions; none is on before `extensions.start()`."""
        return ExtensionManager(
            self.paths.extensions,
            self.paths.extension_packages,
            self.paths.extension_data,
            Kept(YamlStore(self.paths.extension_settings)),
            self,
        )

    def first_model(self) -> str:
        """The model that a start loads: the one asked for, the one used last, or the demo; "" if there is none."""
        if self.config.model:
            return self.config.model
        names = self.library.names()
        last = self.settings.get("last_model", "")
        return next((name for name in (last, DEMO) if name in names), "")

    def close(self) -> None:
        """End the worker, then close the chats: a reply in the making is saved as far as it came."""
        self.supervisor.close()
        if "chats" in vars(self):
            self.chats.close()
        if "extensions" in vars(self):
            self.extensions.close()
