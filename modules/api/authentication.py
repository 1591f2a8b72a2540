"""Check the password, which opens everything, and the keys, which open the API below /v1/.

Loading and unloading is the owner's right: the admin key opens it, and without one the API key, but only to clients on
this machine and where no password is set.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from typing import Any

from modules.api.origin import LOOPBACK, authority
from modules.settings.config import Config

USER = "paddock"
API = "/v1/"
# Measurements for Prometheus, which open to the keys too.
METRICS = "/metrics"
# Where people with an account log in and out.
LOGIN, LOGOUT = "/login", "/logout"
LOG_IN = "Log in first, or send an API key. Reload the page to log in."
# The API's router answers these methods on every path below /v1/; other methods reach the page.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
# Headers that a proxy adds. A request with one of these may come from any machine.
_PROXIED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip")
_ASK_PASSWORD = f"Send the password that Paddock was started with (user name: {USER})."
_ASK_KEY = "Send the API key that Paddock was started with, as Authorization: Bearer KEY."
_ASK_ADMIN_KEY = f"Send the admin key that Paddock was started with as the password (user name: {USER})."
_KEY_ONLY = "The API key opens only /v1/. Send the password here (start with --password WORD to set one)."
_ADMIN_KEY_ONLY = (
    "As Authorization: Bearer KEY, the admin key opens only /v1/ and the routes that load models and run jobs. Send it "
    f"as a password here (user name: {USER}), which opens a page with chats of its own."
)
# Refusals of a secret that is right, but not for this address. They are no guesses.
RIGHT_ELSEWHERE = frozenset({_KEY_ONLY, _ADMIN_KEY_ONLY})
OWNER_ONLY = (
    "The API key does not open this route, which loads or unloads. Send the password or the admin key (start with "
    "--password WORD or --admin-key KEY to set one), or name the model in a request."
)
# Routes of the API that change what is loaded.
OWNER_PATHS = frozenset(f"{API}internal/{name}" for name in ("model/load", "model/unload", "lora/load", "lora/unload"))
# Routes of the page that the admin key opens too: they load models and run jobs.
ADMIN_PREFIXES = ("/paddock/model/", "/paddock/models/", "/paddock/workshop/")
_LOCAL_ONLY = (
    "Paddock was started without a password, so its page opens only on the machine that it runs on. "
    "Start it with --password WORD too."
)


def is_api(scope: Mapping[str, object]) -> bool:
    """Return True if a request goes to the API.

    Routes are matched on the same decoded path, which is not normalized: one with `..` in it matches no other route.
    """
    return scope["type"] == "http" and scope["method"] in METHODS and str(scope["path"]).startswith(API)


def check_secret(
    config: Config,
    scope: Mapping[str, object],
    headers: Mapping[str, str],
    bearer_only: bool = False,
    accounts: bool = False,
) -> tuple[int, str]:
    """Return (status, sentence) of a refusal, or (200, "").

    `bearer_only`: a secret that a browser may have added on its own does not count. `accounts`: people log in.
    """
    if not config.has_secret and not accounts:
        return 200, ""
    sent = sent_secret(headers, bearer_only)
    if is_secret(sent, config.password):
        return 200, ""
    if is_secret(sent, config.admin_key):
        if opens_to_keys(scope) or str(scope["path"]).startswith(ADMIN_PREFIXES):
            return 200, ""
        return _elsewhere(config, _ADMIN_KEY_ONLY)
    has_key = is_secret(sent, config.api_key)
    if opens_to_keys(scope):
        if has_key and scope["path"] in OWNER_PATHS:
            owner = not (config.password or config.admin_key) and _from_this_machine(config, scope, headers)
            return (200, "") if owner else (403, OWNER_ONLY)
        if has_key:
            return 200, ""
        return 401, _ASK_PASSWORD if config.password and not config.api_key and not config.admin_key else _ASK_KEY
    if has_key:
        return _elsewhere(config, _KEY_ONLY)
    if accounts:
        return 401, LOG_IN
    if config.password:
        return 401, _ASK_PASSWORD
    if _from_this_machine(config, scope, headers):
        return 200, ""
    return (401, _ASK_ADMIN_KEY) if config.admin_key else (403, _LOCAL_ONLY)


def opens_to_keys(scope: Mapping[str, object]) -> bool:
    """Return True for what the keys open: the API, and the measurements."""
    return is_api(scope) or scope["type"] == "http" and scope["method"] == "GET" and scope["path"] == METRICS


def is_secret(sent: bytes, secret: str) -> bool:
    return bool(secret) and secrets.compare_digest(sent, secret.encode())


def _elsewhere(config: Config, reason: str) -> tuple[int, str]:
    # After a 401 a browser asks its user again; after other answers it keeps the secret that it sent.
    return 401 if config.password else 403, reason


def sent_secret(headers: Mapping[str, str], bearer_only: bool) -> bytes:
    """Return the secret of the header Authorization, Bearer or Basic, or of Anthropic's x-api-key, or b""."""
    if not (authorization := headers.get("authorization", "")):
        return headers.get("x-api-key", "").strip().encode("latin-1", "replace")
    kind, _, rest = authorization.partition(" ")
    if kind.lower() == "bearer":
        return rest.strip().encode("latin-1", "replace")
    if kind.lower() != "basic" or bearer_only:
        return b""
    try:
        return base64.b64decode(rest, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return b""


def _from_this_machine(config: Config, scope: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    """Return True if the request seems to come from a browser on this machine.

    It must come over loopback, to a loopback name, and through no proxy. Simple proxies add no header, but most use
    HTTP/1.0.
    """
    client, host = scope.get("client"), authority(headers.get("host", ""))
    return (
        not config.public_origin
        and client is not None
        and client[0] in LOOPBACK
        and host is not None
        and host[0] in LOOPBACK
        and scope.get("http_version") != "1.0"
        and not any(name in headers for name in _PROXIED)
    )
