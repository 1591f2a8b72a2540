"""Errors as OpenAI clients expect them, and the HTTP status of each."""

from __future__ import annotations

from starlette.responses import JSONResponse

from modules.protocol.errors import PaddockError
from modules.runtime.waiting_generations import QueueFull
from modules.ui.json_errors import SafeJSONResponse

# By code, as errors of the worker cross the process boundary: 4xx if the client can correct the request.
_STATUS = {
    "setting": 400,
    "path": 400,
    "prompt": 400,
    "document": 400,
    "image": 400,
    "audio": 400,
    "attachment": 400,
    "character": 400,
    "unsupported": 400,
    "model_not_found": 404,
    "adapter_not_found": 404,
    "extension_not_found": 404,
    "response_not_found": 404,
    "model_not_loaded": 409,
    "queue_full": 429,
    "died": 502,
    "memory": 507,
}


def http_status(error: PaddockError, default: int = 503) -> int:
    """Return the HTTP status of an error. `default` is for errors of the server; 503 means that no model answers."""
    return _STATUS.get(error.code, default)


def error_body(error: PaddockError) -> dict[str, object]:
    """Return an error as OpenAI clients expect it, with `lower`: the settings of the loader to lower."""
    values = {"message": error.message, "type": error.code, "param": None, "code": error.code}
    return {"error": {**values, "lower": list(error.lower)}}


def error_response(error: PaddockError, body: dict[str, object] | None = None) -> JSONResponse:
    """Return the answer for an error, with its HTTP status. `body`: the error in another shape than OpenAI's."""
    headers = {"Retry-After": str(error.retry_after)} if isinstance(error, QueueFull) else None
    return SafeJSONResponse(body or error_body(error), http_status(error), headers)
