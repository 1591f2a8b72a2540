"""What all jobs use of the host: folders, loaders, environments, the library and the user's consents."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modules.files.paths import Paths
from modules.library.scan import ModelLibrary
from modules.loading.loader_choice import LoaderChoice
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
    consents: ModelConsents

    @property
    def models(self) -> Path:
        """The models folder."""
        return self.paths.models
