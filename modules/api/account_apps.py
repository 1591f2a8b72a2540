"""The App of each account: its own chats, presets, characters and settings, and everything else shared."""

from __future__ import annotations

import copy
import threading
from dataclasses import replace

from modules.app import App
from modules.files.private_files import make_private
from modules.protocol.errors import PaddockError
from modules.settings.accounts import Account

ADMINS_ONLY = "Only an admin may do this. Ask the person who runs this Paddock."
# What an account without the role admin cannot even reach: loading, jobs, installing.
_MANAGED = ("models", "jobs", "model_management", "environments", "adapters")


class AccountApps:
    """Makes an App for an account when it is first needed. Thread-safe. They close with `app`, the owner's."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._made: dict[str, App] = {}
        app.at_close.callback(self._close)

    def of(self, account: Account) -> App:
        """Return the account's App. It is made again if the account was, or if it has another role."""
        with self._lock:
            made = self._made.get(account.name)
            if made is not None and made.account is not None and made.account.access == account.access:
                return made
            if made is not None:
                made.close_personal()
            made = self._made[account.name] = self._make(account)
            return made

    def _make(self, account: Account) -> App:
        app = self._app
        # What is made at first use must be there before the copy, or each account would have its own.
        shared = (app.extensions, app.jobs, app.job_queue, app.model_management)
        assert None not in shared
        made = copy.copy(app)
        for name in ("chats", "knowledge"):
            vars(made).pop(name, None)
        folder = app.paths.users_data / account.name
        make_private(folder)
        made.account, made.paths = account, replace(app.paths, personal=folder)
        made.open_personal()
        if not account.is_admin:
            for name in _MANAGED:
                setattr(made, name, _OnlyAdmins())
        return made

    def _close(self) -> None:
        for made in self._made.values():
            made.close_personal()


class _OnlyAdmins:
    """Stands for what an account must not use."""

    def __getattr__(self, name: str) -> object:
        raise PaddockError(ADMINS_ONLY)
