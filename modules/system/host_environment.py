"""Environment variables that the host's libraries read, and that were set for other programs."""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Settings of Gradio, uvicorn, FastAPI and of the sites that run Gradio's programs. Paddock has flags of its own.
_FOREIGN = ("GRADIO_", "UVICORN_", "FASTAPI_", "OTEL_", "SPACE_", "SPACES_", "OAUTH_", "WEB_CONCURRENCY")
_PROXIES = ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_UPLOADS = "GRADIO_TEMP_DIR"
_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def drop_foreign_settings() -> None:
    """Remove what would change, or end, the libraries that serve the page; switch their reports off."""
    for name in [name for name in os.environ if name.upper().startswith(_FOREIGN)]:
        del os.environ[name]
    if os.environ.get("SYSTEM") == "spaces":
        del os.environ["SYSTEM"]
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    # huggingface_hub, here and in the workers.
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")


def import_gradio_without_bad_network_settings() -> None:
    """Import Gradio now where its HTTP clients, which are made at import and never used here, refuse the proxies or
    certificates of the environment. To be called before other threads run: they may need the variables."""
    if not _look_unusual() or _usable():
        return
    names = [name for name in os.environ if name.upper() in (*_PROXIES, *_CERTIFICATES)]
    kept = {name: os.environ.pop(name) for name in names}
    try:
        importlib.import_module("gradio")
    finally:
        os.environ.update(kept)


@contextlib.contextmanager
def private_uploads() -> Iterator[None]:
    """Give Gradio a folder for uploaded files that others can neither read nor guess. It goes with the block. To be
    entered before Gradio is imported."""
    os.environ[_UPLOADS] = tempfile.mkdtemp(prefix="paddock-uploads-")
    try:
        yield
    finally:
        remove_uploads()


def remove_uploads() -> None:
    """Remove the uploaded files now."""
    if folder := os.environ.pop(_UPLOADS, ""):
        shutil.rmtree(folder, ignore_errors=True)


def variables_quoted_in(error: BaseException) -> list[str]:
    """Names of environment variables whose value the error's text quotes."""
    text = str(error)
    return sorted(name for name, value in os.environ.items() if len(value) > 1 and value in text)


def _look_unusual() -> bool:
    """Whether it is worth the time to try: most environments have no proxy, and certificates that are there."""
    if any(name.upper() in _PROXIES for name in os.environ):
        return True
    file, folder = (os.environ.get(name) for name in _CERTIFICATES)
    return bool((file and not _has_certificates(Path(file))) or (folder and not Path(folder).is_dir()))


def _has_certificates(file: Path) -> bool:
    try:
        return b"BEGIN" in file.read_bytes()
    except OSError:
        return False


def _usable() -> bool:
    """Whether an HTTP client can be made with the variables as they are."""
    try:
        importlib.import_module("httpx").Client().close()
    except Exception:
        return False
    return True
