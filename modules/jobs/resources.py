"""What all jobs use of the host: folders, loaders, environments, the library and the user's consents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modules.files.paths import Paths
from modules.jobs.texts import TextSources
from modules.library.scan import ModelLibrary
from modules.loading.loader_choice import LoaderChoice
from modules.loading.memory_planner import MemoryPlanner
from modules.loading.model_consents import ModelConsents
from modules.loading.model_loading import ModelLoading
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry


@dataclass(frozen=True)
class JobResources:
    """The parts of the App that jobs use."""

    paths: Paths
    registry: Registry
    environments: Environments
    library: ModelLibrary
    loaders: LoaderChoice
    loading: ModelLoading
    planner: MemoryPlanner
    consents: ModelConsents
    # The messages of the chat with a title or id, as {"role", "content"}. Raises PaddockError.
    chat_messages: Callable[[str], list[dict[str, str]]]

    @property
    def texts(self) -> TextSources:
        """Where text for calibration and evaluation comes from."""
        return TextSources(self.paths.datasets, self.chat_messages)

    @property
    def models(self) -> Path:
        """The models folder."""
        return self.paths.models
