"""The page's routes for voice: speech to text and text to speech, which extensions answer as in OpenAI's API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from modules.plugins.extension_host import ApiRequest
from modules.plugins.extension_services import call_route, route_owner
from modules.protocol.errors import PaddockError

if TYPE_CHECKING:
    from modules.app import App

_SPEECH, _TRANSCRIPTIONS = "/v1/audio/speech", "/v1/audio/transcriptions"


class SpeechRequest(BaseModel):
    """A text to read aloud."""

    text: str = ""


def add_voice_routes(routes: APIRouter, app: App) -> None:
    """Add the routes below /paddock/voice."""

    def answer(path: str, body: bytes, kind: str, hint: str) -> Response:
        owner = route_owner(app.extensions, "POST", path)
        if owner is None:
            raise PaddockError(hint)
        found = call_route(app.extensions, owner, ApiRequest("POST", path, {}, {"content-type": kind}, body))
        if not isinstance(found, Response):
            raise PaddockError(f"The extension {owner} answered with something else than a response.")
        if found.status_code >= 400:
            raise PaddockError(_reason(found))
        return found

    @routes.get("/voice")
    def able() -> dict[str, bool]:
        """Return what the extensions that are on can do."""
        routes = {"speech": _SPEECH, "dictation": _TRANSCRIPTIONS}
        return {name: route_owner(app.extensions, "POST", path) is not None for name, path in routes.items()}

    @routes.post("/voice/speech")
    def speech(request: SpeechRequest) -> Response:
        """Return the text as a WAV file."""
        body = json.dumps({"input": request.text, "response_format": "wav"}).encode()
        hint = "No voice is on. Switch on Read aloud on the Extensions tab."
        return answer(_SPEECH, body, "application/json", hint)

    @routes.post("/voice/dictation")
    async def dictation(request: Request) -> Response:
        """Return the words of a WAV file as {"text"}."""
        body = await request.body()
        hint = "Nothing that understands speech is on. Switch on Dictation on the Extensions tab."
        return await run_in_threadpool(answer, _TRANSCRIPTIONS, body, "audio/wav", hint)


def _reason(response: Response) -> str:
    """Return the sentence in an extension's refusal, in the form of OpenAI's API."""
    try:
        return str(json.loads(bytes(response.body))["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"The extension refused with the status {response.status_code}."
