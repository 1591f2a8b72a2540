"""Who sends a request, where accounts exist: the session in its cookie, or the API key of an account."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from fastapi import Request

from modules.api.account_apps import ADMINS_ONLY, AccountApps
from modules.api.authentication import ADMIN_PREFIXES, LOG_IN, METRICS, OWNER_PATHS, is_api, sent_secret
from modules.api.sessions import Sessions, token_of
from modules.app import App
from modules.protocol.errors import PaddockError
from modules.settings.accounts import Account, Accounts

_ACCOUNT, _APPS = "paddock_account", "paddock_account_apps"
# What a person without the role admin must not use: loading, jobs, downloads, routes of extensions.
_ADMIN_PATHS = (*ADMIN_PREFIXES, "/extensions", "/paddock/extensions/")


class AccountGate:
    """Recognizes accounts. Only for use on the server's event loop."""

    def __init__(self, accounts: Accounts, sessions: Sessions, apps: AccountApps) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._apps = apps

    def check(self, scope: MutableMapping[str, Any], headers: Mapping[str, str], bearer_only: bool) -> tuple[int, str]:
        """Return (200, "") for an account that may send this request, which is noted in the scope, (403, sentence) for
        one that may not, and (401, sentence) if no account sends it.

        `bearer_only`: what a browser adds on its own does not count.
        """
        try:
            return self._check(scope, headers, bearer_only)
        except PaddockError as error:  # The file of accounts cannot be read.
            return 503, error.message

    def _check(self, scope: MutableMapping[str, Any], headers: Mapping[str, str], bearer_only: bool) -> tuple[int, str]:
        if is_api(scope) and (account := self._accounts.by_key(sent_secret(headers, bearer_only))):
            return self._admitted(account, scope)
        if not bearer_only and (token := token_of(headers)):
            found, account = self._sessions.find(token)
            if found and account is None:
                return 200, ""
            # The account may have been removed, or its password or role may have changed, since the login.
            if account and (now := self._accounts.all().get(account.name)) and _same_login(account, now):
                return self._admitted(now, scope)
        return 401, LOG_IN

    def _admitted(self, account: Account, scope: MutableMapping[str, Any]) -> tuple[int, str]:
        path = str(scope["path"])
        if not account.is_admin and (path.startswith(_ADMIN_PATHS) or path in (METRICS, *OWNER_PATHS)):
            return 403, ADMINS_ONLY
        scope.setdefault("state", {}).update({_ACCOUNT: account, _APPS: self._apps})
        return 200, ""


def app_of(app: App, request: Request) -> App:
    """Return the App of the account that sends a request; `app`, the owner's, without one. May read files."""
    account = account_of(request.scope)
    if account is None:
        return app
    apps: AccountApps = request.scope["state"][_APPS]
    return apps.of(account)


def _same_login(before: Account, now: Account) -> bool:
    return (before.id, before.password, before.role) == (now.id, now.password, now.role)


def account_of(scope: Mapping[str, Any]) -> Account | None:
    """Return the account that sends a request which passed the gate, None for the owner."""
    account: Account | None = scope.get("state", {}).get(_ACCOUNT)
    return account
