"""The composition root: one App, built once at start and passed to the code that needs it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from functools import cached_property
from typing import Any

from modules.chat.attachments.model_images import ModelImages
from modules.chat.characters import Characters
from modules.chat.chat_preferences import ChatPreferences
from modules.chat.chat_text import read_chat_messages
from modules.chat.chat_tools import chat_tools
from modules.chat.knowledge.knowledge import Knowledge
from modules.chat.knowledge.open_knowledge import open_knowledge
from modules.chat.open_chats import open_chats
from modules.chat.prompt_library import PromptLibrary
from modules.chat.service import ChatService
from modules.files.private_files import make_private
from modules.generation.presets import Presets
from modules.jobs.job_queue import JobQueue
from modules.jobs.model_management import ModelManagement
from modules.jobs.resources import JobResources
from modules.jobs.service import Jobs
from modules.library.cards_now import card_memory_of
from modules.library.downloads import Downloads
from modules.library.machine import inspect_machine, process_memory
from modules.library.remote_keys import KeyConsents
from modules.library.scan import DEMO_MODEL, ModelLibrary
from modules.loading.applied_adapters import AppliedAdapters
from modules.loading.load_for_chat import LoadForChat
from modules.loading.load_on_request import LoadOnRequest
from modules.loading.loader_choice import LoaderChoice
from modules.loading.loader_packages import find_package_loaders
from modules.loading.measured_memory import MemoryMeasurements
from modules.loading.memory_planner import MemoryPlanner
from modules.loading.model_consents import ModelConsents
from modules.loading.model_embeddings import ModelEmbeddings
from modules.loading.model_loading import ModelLoading
from modules.loading.model_reloader import ModelReloader
from modules.loading.nodes.spread import Nodes
from modules.loading.own_loaders import OwnLoaders
from modules.loading.worker_folders import worker_folders
from modules.plugins.entry_points import installed_extensions
from modules.plugins.extension_settings import ExtensionSettings
from modules.plugins.manager import ExtensionManager
from modules.plugins.tools.mcp_servers import McpServers
from modules.plugins.worker_hooks import WorkerEntry
from modules.protocol.errors import PaddockError
from modules.protocol.model_facts import AIMS
from modules.runtime.client_model import ClientModel
from modules.runtime.environment import Environments
from modules.runtime.idle_unloader import IdleUnloader
from modules.runtime.loaded_model import LoadedModel
from modules.runtime.loader_registry import Registry
from modules.runtime.model_pool import ModelPool
from modules.runtime.supervisor import Supervisor
from modules.runtime.worker_hooks import WorkerHooks
from modules.settings.accounts import Account, account_client
from modules.settings.config import Config
from modules.settings.preferences import Preferences
from modules.settings.sampling_preferences import SamplingPreferences
from modules.settings.user_settings import ModelSettings, YamlStore
from modules.system.code_allowlist import CodeAllowlist

_LOG = logging.getLogger(__name__)


class App:
    """All objects that a run of Paddock owns. `close` ends the workers and closes the files.

    `scripts` makes what runs the script.py of extensions for text-generation-webui (`modules.compat.Scripts`). It is
    called with the first of them, as its imports take a while. Without it, such extensions are listed only."""

    def __init__(self, config: Config, scripts: Callable[[App], Any] | None = None) -> None:
        paths = self.paths = config.paths
        self.config = config
        self._make_scripts = scripts
        make_private(paths.user_data, [paths.models, paths.environments])
        self.machine = inspect_machine()
        # Whose App this is; None for the owner, who needs no account. AccountApps makes those of accounts.
        self.account: Account | None = None
        self.open_personal()
        self.registry = Registry(paths.loaders)
        self.own_loaders = OwnLoaders(
            paths.own_loaders, find_package_loaders(), YamlStore(paths.loader_consents), self.registry, CodeAllowlist()
        )
        self.variants = YamlStore(paths.variants)
        self.environments = Environments(
            paths.environments, self.registry.roots, self.machine, lambda name: str(self.variants.get(name, ""))
        )
        self.library, self.worker_hooks = ModelLibrary(paths.models), WorkerHooks()
        folders = worker_folders(paths, self.own_loaders)
        on_cards = card_memory_of if self.machine.gpus else None
        self.pool = ModelPool(
            lambda: Supervisor(paths.root, self.environments, process_memory, folders, self.worker_hooks, on_cards),
            config.keep_current,
        )
        self.supervisor, self.idle_unloader = self.pool.current.supervisor, IdleUnloader(self.pool)
        self.nodes = Nodes(self.registry, self.environments, self.machine)
        measured = MemoryMeasurements(YamlStore(paths.measured_memory))
        planned = self.library, self.environments, self.pool, measured, self.nodes
        self.planner = MemoryPlanner(*planned, enforce=not config.load_anyway)
        self.model_settings = saved = ModelSettings(paths.model_settings)
        self.adapters = AppliedAdapters(self.library, self.registry, self.supervisor, saved)
        self.keys = KeyConsents(YamlStore(paths.allowed_variables), config.allow_env)
        machine_for = self.environments.machine_for
        self.loaders = LoaderChoice(self.registry, self.library, machine_for, saved, self._aim, config.show_echo)
        self.consents = consents = ModelConsents(config, self.library, self.keys, self.own_loaders)
        self.models = ModelLoading(
            self.library, self.loaders, consents, self.planner, self.adapters, self.pool, config.max_models
        )
        self.reloader = ModelReloader(self.supervisor, self.models.load_again)
        self.on_request = LoadOnRequest(
            self.library,
            self.environments,
            self.pool,
            self.models,
            lambda: self.reloader,
            dict(config.aliases),
            config.load_on_request,
            config.keep_alive,
        )
        self.load_for_chat = LoadForChat(self.on_request, self.pool)
        self.images, self.mcp = ModelImages(paths.model_images), McpServers(paths.mcp_servers)
        self.downloads = Downloads(paths.models, self.supervisor.state_store.publish)

    def open_personal(self) -> None:
        """Open what belongs to one account, apart from the chats, which are opened at first use."""
        paths = self.paths
        self.settings = Preferences(YamlStore(paths.settings))
        # The name of the page's newest build. Open pages of older builds reload.
        self.page_build = ""
        self.presets = Presets(paths.presets, paths.own_presets)
        self.characters = Characters(paths.characters)
        self.sampling = SamplingPreferences(self.settings, self.presets)
        self.chat_preferences = ChatPreferences(
            self.settings, self.characters, lambda: self.chats, lambda: self.supervisor.state.model, self.sampling
        )
        self.toolbox, self.prompts = chat_tools(YamlStore(paths.tools), self), PromptLibrary(YamlStore(paths.prompts))
        self.at_close = ExitStack()  # Callbacks of the page and the API to run at the end.

    @property
    def page_model(self) -> LoadedModel:
        """The page's current model. Replies that one account starts take turns with those of others."""
        return ClientModel(self.supervisor, account_client(self.account)) if self.account else self.supervisor

    @property
    def may_manage(self) -> bool:
        """True for the owner and admins: they load models, run jobs and switch extensions on."""
        return self.account is None or self.account.is_admin

    def close_personal(self) -> None:
        """Close what belongs to one account. Replies that are being written are saved."""
        with ExitStack() as stack:
            for name in ("knowledge", "chats"):
                if name in vars(self):
                    stack.callback(getattr(self, name).close)
            stack.callback(self.at_close.close)

    @cached_property
    def jobs(self) -> Jobs:
        """Quantizing, evaluating and comparing models, each in a separate worker."""
        return Jobs(
            JobResources(
                self.paths,
                self.registry,
                self.environments,
                self.library,
                self.loaders,
                self.models,
                self.planner,
                self.consents,
                lambda name: read_chat_messages(self.paths.chats, name),
            )
        )

    @cached_property
    def model_management(self) -> ModelManagement:
        """Renames and discards models. What stores names of models hears of a new one."""
        listeners = [self.model_settings.rename, self.chat_preferences.rename_model, self._rename_last_model]
        folders = self.paths.models, self.paths.trash
        return ModelManagement(self.library, *folders, self.jobs, self.pool, listeners)

    def _rename_last_model(self, old: str, new: str) -> None:
        if self.settings.get("last_model") == old:
            self.settings.set("last_model", new)

    @cached_property
    def job_queue(self) -> JobQueue:
        """Runs the jobs that the page starts, one after another."""
        return JobQueue(self.jobs)

    @cached_property
    def chats(self) -> ChatService:
        """The chats, opened at first use: a command that does not need them leaves the file to the page."""
        client = account_client(self.account) if self.account else ""
        used = self.characters, self.extensions, self.images, self.toolbox, self.knowledge
        return open_chats(self.paths.chats, self.page_model, self.pool, client, *used)

    @cached_property
    def knowledge(self) -> Knowledge:
        """The documents that chats can use."""
        embed = ModelEmbeddings(self.pool, self.on_request, self.idle_unloader.wake).embed
        return open_knowledge(self.paths, self.settings, embed, lambda: self.may_manage)

    @cached_property
    def extensions(self) -> ExtensionManager:
        """The extensions. None is on before `extensions.start()`."""
        manager = ExtensionManager(
            self.paths.extensions,
            self.paths.extension_packages,
            self.paths.extension_data,
            ExtensionSettings(YamlStore(self.paths.extension_settings)),
            self,
            {"script.py": lambda found, host: self.scripts.read(found, host)} if self._make_scripts else {},
            self._why_worker_hooks_are_idle,
            self._configure_hooks,
            installed_extensions(),
        )
        manager.subscribe(self.supervisor.state_store.publish)
        self.worker_hooks.subscribe(manager.worker.handle_event)
        return manager

    @cached_property
    def scripts(self) -> Any:
        """Runs the script.py of extensions for text-generation-webui."""
        assert self._make_scripts
        return self._make_scripts(self)

    def _configure_hooks(self, entries: list[WorkerEntry]) -> None:
        try:
            if self.worker_hooks.replace([asdict(entry) for entry in entries]):
                self.pool.send_hooks()
        except PaddockError as error:
            _LOG.warning("%s", error.message)

    def _why_worker_hooks_are_idle(self) -> str:
        state = self.supervisor.state
        if state.phase != "ready":
            return ""
        if self.registry.get(state.loader).logits_hooks:
            return ""
        able = [spec.title for spec in self.registry.shown() if spec.logits_hooks]
        return (
            f"Its hooks in the worker are idle: {self.registry.get(state.loader).title} does not expose its engine's "
            f"logits. Load the model with {' or '.join(able)}."
        )

    def _aim(self) -> str:
        """Return the aim of the flag, or of the page. An unknown value in the settings file is ignored."""
        aim = self.config.aim or self.settings.get("aim", AIMS[0])
        return aim if aim in AIMS else AIMS[0]

    def startup_model(self) -> str:
        """Return the model to load at start: the flag's, the one used last, or the demo; "" if there is none."""
        if self.config.model:
            return self.config.model
        names = self.library.names()
        return next((name for name in (self.settings.get("last_model", ""), DEMO_MODEL) if name in names), "")

    def cancel_load(self) -> None:
        """Cancel running installs and loads. Code that waits for them gets an error."""
        self.on_request.close()
        self.reloader.close()
        if "job_queue" in vars(self):
            self.job_queue.stop()
        self.environments.close()
        self.pool.cancel_loads()

    def close(self) -> list[str]:
        """End the worker, then close the chats. A running reply is saved up to its last token.

        Returns the names of extensions whose threads did not end.
        """
        unfinished: list[str] = []
        # Callbacks run in reverse order. One that raises does not stop the others.
        with ExitStack() as stack:
            if "scripts" in vars(self):
                stack.callback(self.scripts.close)
            if "extensions" in vars(self):
                stack.callback(lambda: unfinished.extend(self.extensions.close()))
            stack.callback(self.mcp.close)
            for name in ("knowledge", "chats"):
                if name in vars(self):
                    stack.callback(getattr(self, name).close)
            stack.callback(self.pool.close)
            stack.callback(self.idle_unloader.close)
            if "job_queue" in vars(self):
                stack.callback(self.job_queue.close)
            stack.callback(self.environments.close)
            stack.callback(self.reloader.close)
            stack.callback(self.on_request.close)
            stack.callback(self.downloads.close)
            stack.callback(self.images.close)
            stack.callback(self.at_close.close)
        return unfinished
