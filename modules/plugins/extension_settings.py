"""The user's decisions about extensions in user_data/extensions.yaml: which are on, their order, consent, settings."""

from __future__ import annotations

from modules.settings.user_settings import YamlStore


class ExtensionSettings:
    """Reads and writes the file. `order` lists the extensions that are on, first to last."""

    def __init__(self, store: YamlStore) -> None:
        self._store = store

    @property
    def order(self) -> list[str]:
        """The extensions that are on, in the order in which their hooks run."""
        return [str(name) for name in self._store.get("enabled") or []]

    @order.setter
    def order(self, names: list[str]) -> None:
        self._store.set("enabled", names or None)

    def has_consent(self, name: str, sha256: str) -> bool:
        """Return True if the user agreed to run exactly these files."""
        return bool(sha256) and (self._store.get("consent") or {}).get(name) == sha256

    def give_consent(self, name: str, sha256: str) -> None:
        """Record that the user agreed to run these files."""
        self._store.set("consent", {**(self._store.get("consent") or {}), name: sha256})

    def settings(self, name: str) -> dict[str, object]:
        """Return the saved settings of an extension by name."""
        return dict((self._store.get("settings") or {}).get(name) or {})

    def set_settings(self, name: str, values: dict[str, object], *, replace: bool = False) -> None:
        """Save settings of an extension. None deletes a setting. `replace`: delete all settings not named here."""
        merged = dict(values) if replace else {**self.settings(name), **values}
        present = {key: value for key, value in merged.items() if value is not None}
        every = {**(self._store.get("settings") or {}), name: present}
        self._store.set("settings", {key: value for key, value in every.items() if value} or None)

    @property
    def receipts(self) -> bool:
        """True if replies record what each hook changed."""
        return bool(self._store.get("receipts"))

    @receipts.setter
    def receipts(self, on: bool) -> None:
        self._store.set("receipts", True if on else None)
