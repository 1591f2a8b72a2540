"""Removes environment variables that were set for other programs and that the host's libraries read."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Settings of Gradio, uvicorn, FastAPI and of sites that host Gradio apps. Paddock has its own flags.
_FOREIGN = ("GRADIO_", "UVICORN_", "FASTAPI_", "OTEL_", "SPACE_", "SPACES_", "OAUTH_", "WEB_CONCURRENCY")
_PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_UPLOADS = "GRADIO_TEMP_DIR"
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def drop_foreign_settings() -> None:
    """Remove variables that would change or break the libraries that serve the page, and switch telemetry off."""
    for name in [name for name in os.environ if name.upper().startswith(_FOREIGN)]:
        del os.environ[name]
    if os.environ.get("SYSTEM") == "spaces":
        del os.environ["SYSTEM"]
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # Disable telemetry of huggingface_hub, here and in workers.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def import_gradio_without_bad_network_settings() -> None:
    """Import Gradio now, without the proxy and certificate variables, if its HTTP clients reject them.

    Gradio creates these clients at import; Paddock does not use them. Call this before other threads start, because
    they may need the variables.
    """
    if not _look_unusual() or _client_works():
        return
    names = [name for name in os.environ if name.upper() in (*_PROXIES, *_CERTIFICATES)]
    removed = {name: os.environ.pop(name) for name in names}
    try:
        importlib.import_module("gradio")
    finally:
        os.environ.update(removed)


@contextlib.contextmanager
def private_uploads() -> Iterator[None]:
    """Give Gradio a folder for uploads that other users cannot read or guess, and remove it after the block.

    Enter it before Gradio is imported.
    """
    os.environ[_UPLOADS] = tempfile.mkdtemp(prefix="paddock-uploads-")
    try:
        yield
    finally:
        remove_uploads()


def remove_uploads() -> None:
    """Remove the uploaded files."""
    if folder := os.environ.pop(_UPLOADS, ""):
        shutil.rmtree(folder, ignore_errors=True)


def variables_quoted_in(error: BaseException) -> list[str]:
    """Return the names of environment variables whose value occurs in the error's text."""
    text = str(error)
    return sorted(name for name, value in os.environ.items() if len(value) > 1 and value in text)


def _look_unusual() -> bool:
    """Return True if a proxy is set or certificates are missing. Only then is the check worth its time."""
    if any(name.upper() in _PROXIES for name in os.environ):
        return True
    file, folder = (os.environ.get(name) for name in _CERTIFICATES)
    return bool((file and not _has_certificates(Path(file))) or (folder and not Path(folder).is_dir()))


def _has_certificates(file: Path) -> bool:
    try:
        return b"BEGIN" in file.read_bytes()
    except OSError:
        return False


def _client_works() -> bool:
    """Return True if an HTTP client can be created with the current variables."""
    try:
        importlib.import_module("httpx").Client().close()
    except Exception:
        return False
    return True
