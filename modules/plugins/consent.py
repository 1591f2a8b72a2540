"""The user's consent to run an extension's code, bound to the fingerprint of its files."""

from __future__ import annotations

from modules.plugins.extension_settings import ExtensionSettings
from modules.plugins.folders import ExtensionFolder
from modules.protocol.errors import PaddockError


class ConsentNeeded(PaddockError):
    """The user has not agreed to run the files of an extension as they are now."""

    code = "consent"


class Consent:
    """Reads and records the user's consent in the saved settings."""

    def __init__(self, saved: ExtensionSettings) -> None:
        self._saved = saved

    def is_given(self, source: ExtensionFolder) -> bool:
        """Return True if the user agreed to run these files, or if they came with Paddock."""
        return source.shipped or self._saved.has_consent(source.name, source.sha256)

    def give(self, source: ExtensionFolder, sha256: str) -> None:
        """Record consent. `sha256`: the fingerprint of the files that the user saw; other files get no consent."""
        if sha256 and sha256 == source.sha256:
            self._saved.give_consent(source.name, sha256)

    def require(self, source: ExtensionFolder, message: str) -> None:
        """Raise ConsentNeeded with this message if the user has not agreed to run these files."""
        if not self.is_given(source):
            raise ConsentNeeded(message)
