"""Python packages that extensions need. Each extension has its own folder of packages."""

from __future__ import annotations

from pathlib import Path

from modules.plugins import requirements
from modules.plugins.folders import ExtensionFolder
from modules.plugins.requirements import Need
from modules.protocol.errors import PaddockError


class ExtensionPackages:
    """Checks and installs packages. `root` holds one folder per extension."""

    def __init__(self, root: Path) -> None:
        self._root = root
        # Extension name -> the sha256 of its files, and why its packages were not installed.
        self._unbuilt: dict[str, tuple[str, str]] = {}

    def folder(self, name: str) -> Path:
        """Return the folder of an extension's own packages."""
        return self._root / name

    def needs(self, source: ExtensionFolder) -> tuple[Need, ...]:
        """Return the requirements of an extension, each with its state on this machine."""
        return requirements.check(source.manifest.requirements, self.folder(source.name))

    def require(self, source: ExtensionFolder) -> None:
        """Raise RequirementsMissing if packages that the extension needs are not installed."""
        missing = [need.text for need in self.needs(source) if need.state == "missing"]
        if missing:
            raise requirements.RequirementsMissing(
                f"{source.title} needs packages that are not installed: {', '.join(missing)}. Install them on the "
                "Extensions tab. They go into the extension's own folder."
            )

    def install(self, source: ExtensionFolder, *, build: bool) -> None:
        """Install the packages that an extension needs. `build`: allow building from source, which runs their code.

        Raises NotBuilt for a package that must be built without that, and PaddockError.
        """
        if source.problem:
            raise PaddockError(f"The packages of {source.title} cannot be installed. {source.problem}")
        self._unbuilt.pop(source.name, None)
        try:
            requirements.install(source.manifest.requirements, self.folder(source.name), build=build)
        except requirements.NotBuilt as error:
            self._unbuilt[source.name] = (source.sha256, error.message)
            raise

    def unbuilt(self, source: ExtensionFolder) -> str:
        """Return why packages of an extension need consent to be built; "" if none do."""
        sha256, message = self._unbuilt.get(source.name, ("", ""))
        return message if sha256 == source.sha256 else ""
