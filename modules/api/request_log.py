"""The request log: one line for each request to the API. What was asked and answered is left out, unless wanted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime

from modules.api.request_record import RequestRecord
from modules.generation.generation import Generation

_PLAIN = re.compile(r"[\w./:~@+-]{1,200}", re.ASCII)
_LONGEST = 200


class RequestLog:
    """Writes the lines with `write`. `with_bodies`: each has the beginning of the request's body, with its prompt."""

    def __init__(self, write: Callable[[str], None], with_bodies: bool = False) -> None:
        self._write = write
        self._with_bodies = with_bodies

    def __call__(self, record: RequestRecord) -> None:
        """Write the line of a request that has ended."""
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        parts = [now, record.client or "-", record.method, _text(record.path), str(record.status or "closed")]
        parts += [f"{name}={_text(value)}" for name, value in _facts(record).items()]
        if self._with_bodies:
            parts.append(f"body={json.dumps(record.body.decode('utf-8', 'replace'))}")
        self._write(" ".join(parts))


def _facts(record: RequestRecord) -> dict[str, object]:
    facts: dict[str, object] = {"seconds": f"{record.seconds:.3f}"}
    if not record.generations:
        return facts
    first = record.generations[0]
    facts["model"] = first.model
    if len(record.generations) > 1:
        facts["choices"] = len(record.generations)
    facts["prompt_tokens"] = sum(_prompt_tokens(generation) for generation in record.generations)
    facts["tokens"] = sum(generation.tokens for generation in record.generations)
    if first.first_token_seconds is not None:
        facts["first_token"] = f"{first.first_token_seconds:.3f}"
    facts["end"] = ",".join(sorted({end_of(generation) for generation in record.generations}))
    return facts


def end_of(generation: Generation) -> str:
    """Return how a generation ended: the engine's reason, "error", or "running"."""
    if generation.finished is not None:
        return generation.finished.reason
    return "error" if generation.error is not None else "running"


def _prompt_tokens(generation: Generation) -> int:
    if generation.finished is not None:
        return generation.finished.prompt_tokens
    return generation.prompted.tokens if generation.prompted is not None else 0


def _text(value: object) -> str:
    """Return a value as one word. What could end the word or the line is quoted as JSON."""
    text = str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text[:_LONGEST])
