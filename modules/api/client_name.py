"""Distinguishes the clients of the API, so that they take turns."""

from __future__ import annotations

import hashlib

from fastapi import Request

from modules.api.account_gate import account_of
from modules.settings.accounts import account_client
from modules.settings.config import Config


def client_name(request: Request, config: Config) -> str:
    """Return a name that is the same for all requests of one client: its account, or its address and the key that it
    sent.

    The address behind a reverse proxy is the one that the proxy added last, since a client may send any others.
    """
    if account := account_of(request.scope):
        return account_client(account)
    address = request.client.host if request.client else ""
    if config.public_origin and (passed := request.headers.get("x-forwarded-for")):
        address = passed.rpartition(",")[2].strip()
    secret = request.headers.get("authorization") or request.headers.get("x-api-key") or ""
    return f"{address} {hashlib.sha256(secret.encode()).hexdigest()[:16]}"
