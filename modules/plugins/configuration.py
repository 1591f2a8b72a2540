"""Settings of extensions: their schema, the values in effect, and changes by the user or by the extension."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import SimpleNamespace

from modules.plugins.extension_settings import ExtensionSettings
from modules.plugins.running_extension import RunningExtension, RunningExtensions
from modules.protocol.errors import PaddockError
from modules.protocol.schema import build, describe

_LOG = logging.getLogger(__name__)


class Configuration:
    """Reads and changes the settings of running extensions."""

    def __init__(self, saved: ExtensionSettings, running: RunningExtensions) -> None:
        self._saved = saved
        self._running = running

    def schema(self, name: str) -> type[object] | None:
        """Return the settings of a running extension as a dataclass of `setting(...)` fields, or None."""
        running = self._running.get(name)
        return None if running is None else schema_of(running)

    def set(
        self, name: str, schema: type[object] | None, values: Mapping[str, object], *, replace: bool = False
    ) -> None:
        """Save settings that the user changed. `schema`: of the extension; `replace`: delete all other settings.

        Raises SettingError, which says what is allowed, and PaddockError if the extension has no settings.
        """
        if schema is None:
            raise PaddockError(f"{name} has no settings.")
        build(schema, values)
        self._saved.set_settings(name, dict(values), replace=replace)
        if running := self._running.get(name):
            running.settings = self.values(name, schema)

    def set_by_extension(self, name: str, values: Mapping[str, object]) -> None:
        """Save settings that the extension's own code changed. It may save values that its schema does not name.

        Raises SettingError for a value that its schema does not allow.
        """
        schema = self.schema(name)
        known = {entry.name for entry in describe(schema)} if schema else set()
        if schema:
            build(schema, {key: value for key, value in values.items() if key in known and value is not None})
        self._saved.set_settings(name, dict(values))
        if running := self._running.get(name):
            running.settings = self.values(name, schema)

    def values(self, name: str, schema: type[object] | None) -> object:
        """Return the settings in effect: the saved values that the schema still has, else its defaults."""
        saved = self._saved.settings(name)
        if schema is None:
            return SimpleNamespace(**saved)
        known = {entry.name for entry in describe(schema)}
        try:
            return build(schema, {key: value for key, value in saved.items() if key in known})
        except PaddockError as error:
            _LOG.warning("%s: %s Its defaults are used.", name, error.message)
            return schema()


def schema_of(running: RunningExtension) -> type[object] | None:
    """Return the settings that an extension declares in its code, else in its manifest."""
    return getattr(running.plugin, "Settings", None) or running.source.manifest.settings
