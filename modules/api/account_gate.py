"""Who sends a request, where accounts exist: the session in its cookie, or the API key of an account."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from fastapi import Request

from modules.api.account_apps import ADMINS_ONLY, AccountApps
from modules.api.authentication import (
    ADMIN_PREFIXES,
    LOG_IN,
    METRICS,
    OWNER_PATHS,
    is_api,
    is_secret,
    opens_to_keys,
    sent_secret,
)
from modules.api.sessions import Sessions, token_of
from modules.app import App
from modules.protocol.errors import PaddockError
from modules.settings.access import Access
from modules.settings.accounts import ADMIN_KEY_NAME, OWNER, Account, Accounts, admin_key_account

_ACCOUNT, _APPS = "paddock_account", "paddock_account_apps"
# What a person without the role admin must not use: loading, jobs, downloads, routes of extensions.
_ADMIN_PATHS = (*ADMIN_PREFIXES, "/extensions", "/paddock/extensions/")


class AccountGate:
    """Recognizes accounts. Only for use on the server's event loop."""

    def __init__(self, access: Access, accounts: Accounts, sessions: Sessions, apps: AccountApps) -> None:
        self._access = access
        self._accounts = accounts
        self._sessions = sessions
        self._apps = apps

    @property
    def closed(self) -> bool:
        """True if people log in: there are accounts, or there were at the start. One that is added counts at once."""
        try:
            return self._access.accounts or bool(self._accounts.all())
        except PaddockError:  # The file of accounts cannot be read.
            return True

    def admits_admin_key(self, scope: MutableMapping[str, Any], headers: Mapping[str, str]) -> bool:
        """Return True if a browser sends the admin key for the page, whose account is then noted in the scope."""
        key = self._access.admin_key
        basic = headers.get("authorization", "").lower().startswith("basic ")
        if not (key and basic) or opens_to_keys(scope) or not is_secret(sent_secret(headers, False), key):
            return False
        self._admitted(admin_key_account(key), scope)
        return True

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
            name = self._sessions.name(token)
            if name == OWNER and self._sessions.began_with(token, self._access.password):
                return 200, ""
            # The account may have been removed, or its password or role may have changed, since the login.
            if name == ADMIN_KEY_NAME and self._access.admin_key:
                account = admin_key_account(self._access.admin_key)
            else:
                account = self._accounts.all().get(name) if name else None
            if account and self._sessions.began_with(token, account.credentials):
                return self._admitted(account, scope)
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


def account_of(scope: Mapping[str, Any]) -> Account | None:
    """Return the account that sends a request which passed the gate, None for the owner."""
    account: Account | None = scope.get("state", {}).get(_ACCOUNT)
    return account
