"""modules.github: installs extensions from Git addresses, like the Extensions tab. None of their code runs
before the user agrees to their files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from modules.compat.facade.base import FacadeModule
from modules.plugins.git import without_secrets
from modules.plugins.install import install, name_at
from modules.plugins.updates import update
from modules.protocol.errors import PaddockError

if TYPE_CHECKING:
    from modules.compat.facade import Facade


class Github(FacadeModule):
    """`new_extensions`: names of the extensions that were cloned in this run."""

    def __init__(self, name: str, facade: Facade) -> None:
        super().__init__(name, facade)
        self.new_extensions: set[str] = set()

    def clone_or_pull_repository(self, github_url: str) -> Iterator[str]:
        """Install the extension at this address, or update the one of its name. Yield sentences, also about errors."""
        name, paths = name_at(github_url), self._app.paths
        found = self._app.extensions.available().get(name)
        yield f"{'Updating' if found else 'Cloning'} {without_secrets(github_url)}..."
        try:
            if found:
                update(github_url, found.path, paths.extension_repositories)
                yield f"{name} is up to date. What changed counts once you agree to it on the Extensions tab."
            else:
                name = install(github_url, paths.extensions[1], paths.extension_repositories).name
                self.new_extensions.add(name)
                yield f"{name} has been downloaded. Look at its files, and switch it on, on the Extensions tab."
        except PaddockError as error:
            yield error.message
