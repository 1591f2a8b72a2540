"""Loaders that do not ship with Paddock: in the user's folder, and in installed Python packages.

Their code runs only after the user agreed to it, and only as it was then.
"""

from __future__ import annotations

import json
from pathlib import Path

from modules.loading.loader_packages import PackageLoaders
from modules.plugins.code_files import code_files, fingerprint, importable
from modules.protocol.errors import PaddockError
from modules.runtime.loader_registry import Registry
from modules.settings.user_settings import YamlStore
from modules.system.code_allowlist import CodeAllowlist

# Names the worker's loader and its agreed files, as modules/worker/__main__.py reads it.
VARIABLE = "PADDOCK_OWN_LOADER"


class OwnLoaders:
    """The loaders below `folder`, and those of `packages`.

    `store` keeps the consents: name -> fingerprint of the files that may run. Loaders that were agreed to are added to
    `registry`.
    """

    def __init__(
        self, folder: Path, packages: PackageLoaders, store: YamlStore, registry: Registry, code: CodeAllowlist
    ) -> None:
        self._folder = folder
        self._packages = packages
        self._store = store
        self._registry = registry
        self._code = code
        self._allowed: dict[str, tuple[Path, dict[str, str]]] = {}
        registry.faults.update(packages.faults)
        for name in packages.folders.keys() & self._own_folders().keys():
            registry.faults[f"{name} of {packages.packages[name]}"] = (
                f"The loader {name} of the package {packages.packages[name]} is not used, since {folder.name}/{name} "
                "has the same name. Rename or remove that folder"
            )
        for name, place in self._folders().items():
            if self._agreed(name, place):
                self._add(name, place)

    def names(self) -> list[str]:
        """Return the names of all loaders, allowed or not, sorted."""
        return sorted(self._folders())

    def package_folders(self) -> list[Path]:
        """Return the folders of the packages' loaders, which workers must be able to read."""
        return list(self._packages.folders.values())

    def waiting(self) -> dict[str, str]:
        """Return name -> sentence for each loader whose present code the user has not agreed to."""
        return {
            name: f"The code of the loader {name}{self._origin(name, place)} has not run here before. Look at its "
            f"files in {place}, then allow it."
            for name, place in self._folders().items()
            if not self._agreed(name, place) and name not in self._allowed
        }

    def enable(self, name: str) -> None:
        """Agree to run the present code of a loader, and read its spec. Raises PaddockError."""
        place = self._folders().get(name)
        if place is None:
            names = ", ".join(self.names()) or "none"
            raise PaddockError(
                f"There is no loader {name!r} in {self._folder} or in an installed package. There are: {names}."
            )
        self._store.set("consent", {**self._consents(), name: fingerprint(_files_of(name, place))})
        if name not in self._allowed:
            self._add(name, place)
        if fault := self._registry.faults.get(name):
            raise PaddockError(f"{fault}. Correct it, then enable it again.")

    def variables(self, name: str) -> dict[str, str]:
        """Return the environment variable that names a worker's loader folder and the files it may import."""
        if name not in self._allowed:
            return {}
        place, files = self._allowed[name]
        return {VARIABLE: json.dumps({"folder": str(place), "files": files})}

    def _folders(self) -> dict[str, Path]:
        """Return name -> folder. A loader in the user's folder replaces one of a package with the same name."""
        return {**self._packages.folders, **self._own_folders()}

    def _own_folders(self) -> dict[str, Path]:
        return {path.parent.name: path.parent for path in sorted(self._folder.glob("*/spec.py"))}

    def _origin(self, name: str, place: Path) -> str:
        return f", from the package {self._packages.packages[name]}," if place in self.package_folders() else ""

    def _add(self, name: str, place: Path) -> None:
        files = importable(_files_of(name, place))
        self._code.allow(place, files)
        # A loader that cannot be used must not stand in for a shipped one of the same name.
        if self._registry.add(place):
            self._allowed[name] = place, files

    def _agreed(self, name: str, place: Path) -> bool:
        try:
            return self._consents().get(name) == fingerprint(_files_of(name, place))
        except PaddockError:
            return False

    def _consents(self) -> dict[str, object]:
        return dict(self._store.get("consent") or {})


def _files_of(name: str, place: Path) -> dict[str, str]:
    try:
        return code_files(place)
    except (ValueError, OSError) as error:
        raise PaddockError(f"The loader {name} cannot be used: {error}") from None
