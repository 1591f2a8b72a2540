"""Translates messages to the model and replies from it, with a LibreTranslate server that the user names.

For another service, replace the function `translate`.
"""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from paddock import PaddockError

_SECONDS = 30


def translate(text: str, source: str, target: str, settings: Any) -> str:
    """Return `text` in another language. Raises PaddockError, OSError, ValueError."""
    if not settings.service.startswith(("http://", "https://")):
        raise PaddockError("Server must begin with http:// or https://. Change it in the settings of this extension.")
    values = {"q": text, "source": source, "target": target, "format": "text", "api_key": settings.key}
    request = urllib.request.Request(
        f"{settings.service.rstrip('/')}/translate",
        json.dumps(values).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        return str(json.load(answer)["translatedText"])


def input_modifier(string: str, settings: Any) -> str:
    """Translate a message to the model's language."""
    return translate(string, settings.mine, settings.models, settings)


def output_modifier(string: str, settings: Any) -> str:
    """Translate the reply back to the user's language."""
    return translate(string, settings.models, settings.mine, settings)
