"""Read the certificate for HTTPS at start, so that a wrong file is a sentence and not a traceback."""

from __future__ import annotations

import ssl
from pathlib import Path

from modules.protocol.errors import PaddockError
from modules.settings.access import Access


def tls_options(access: Access) -> dict[str, object]:
    """Return uvicorn's settings for HTTPS, {} for HTTP. Raise PaddockError if the files cannot be used."""
    certificate, key = access.ssl_certfile, access.ssl_keyfile or access.ssl_certfile
    if certificate is None or key is None:
        return {}
    for flag, path in (("--ssl-certfile", certificate), ("--ssl-keyfile", key)):
        _check_readable(flag, path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, _no_passphrase)
    except _Encrypted:
        raise PaddockError(
            f"The private key in {key} is encrypted. Decrypt it: openssl pkey -in {key} -out key.pem. Then start with "
            "--ssl-keyfile key.pem."
        ) from None
    except (ssl.SSLError, ValueError) as error:
        raise PaddockError(_why(error, certificate, key), detail=str(error)) from error
    return {"ssl_certfile": certificate, "ssl_keyfile": key}


class _Encrypted(Exception):
    """The private key needs a passphrase."""


def _no_passphrase() -> str:
    """Refuse in place of OpenSSL's own question on the terminal, which would stop the start."""
    raise _Encrypted


def _check_readable(flag: str, path: Path) -> None:
    try:
        with path.open("rb"):
            return
    except OSError as error:
        raise PaddockError(f"{flag}: {path} cannot be read ({error.strerror}). Choose a PEM file.") from None


def _why(error: Exception, certificate: Path, key: Path) -> str:
    reason = getattr(error, "reason", None) or ""
    if reason == "KEY_VALUES_MISMATCH":
        return f"The private key in {key} does not belong to the certificate in {certificate}. Choose its own key."
    if key == certificate:
        return (
            f"{certificate} does not hold a certificate and its private key in PEM form. If the key is in another "
            "file, add --ssl-keyfile FILE."
        )
    return (
        f"{certificate} and {key} are not a certificate and a private key in PEM form. A file begins with "
        "-----BEGIN CERTIFICATE----- or -----BEGIN PRIVATE KEY-----. Convert them, or choose others."
    )
