"""The consents that a load needs: to unpickle files, to run a model's own code, and to send keys to servers."""

from __future__ import annotations

from pathlib import Path

from modules.library.remote_keys import KeyConsents
from modules.library.scan import ModelLibrary
from modules.library.trust import fingerprint, missing_consent
from modules.loading.own_loaders import OwnLoaders
from modules.protocol.errors import PaddockError
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import ModelFacts
from modules.settings.config import Config


class ModelConsents:
    """Checks the consents given at start, and passes them to workers."""

    def __init__(self, config: Config, library: ModelLibrary, keys: KeyConsents, own_loaders: OwnLoaders) -> None:
        self._config = config
        self._library = library
        self._keys = keys
        self._own_loaders = own_loaders
        # A consent covers the files as they were at start. Files that change later are not covered.
        names = (*config.trust_pickle, *config.trust_remote_code)
        self._fingerprints = {name: _fingerprint(library.facts(name)) for name in names}

    def check(self, facts: ModelFacts) -> None:
        """Raise PaddockError if a consent is missing, or if files changed after it was given."""
        name = facts.name
        if name in self._fingerprints and self._fingerprints[name] != _fingerprint(facts):
            raise PaddockError(
                f"Files of {name} that can run code have changed since Paddock started, so the consent given then "
                "does not cover them. Look at them, then start Paddock again with the same flag."
            )
        if reason := missing_consent(
            facts, allow_pickle=name in self._config.trust_pickle, allow_code=name in self._config.trust_remote_code
        ):
            raise PaddockError(reason)

    def variables(self, facts: ModelFacts, spec: LoaderSpec) -> dict[str, str]:
        """Return the environment variables that pass the consents to a worker."""
        found = {**self._keys.variables(facts), **self._own_loaders.variables(spec.name)}
        if facts.name in self._config.trust_remote_code:
            found["PADDOCK_TRUST_REMOTE_CODE"] = "1"
        if facts.name in self._config.trust_pickle:
            found["PADDOCK_TRUST_PICKLE"] = "1"
        return found


def _fingerprint(facts: ModelFacts) -> str:
    return fingerprint(Path(facts.path))
