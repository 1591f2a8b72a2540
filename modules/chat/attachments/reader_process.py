"""Asks a process of limited memory to read an untrusted file, and makes sentences of what goes wrong with it."""

from __future__ import annotations

from typing import Any

from modules.protocol.errors import PaddockError
from modules.system.json_process import JsonProcess, RequestTimeout


def ask_reader(
    module: str, request: dict[str, object], seconds: float, name: str, advice: str, error: type[PaddockError]
) -> dict[str, Any]:
    """Return the answer of `module`, in a process that ends with it; blocking.

    `name`: what to call the file; `advice`: the next step for a file that takes too long or too much memory. Raises
    `error`.
    """
    process = JsonProcess(module)
    try:
        answer = process.ask(request, seconds)
    except RequestTimeout:
        raise error(f"{name} was not read within {seconds:.0f} seconds. {advice}") from None
    except OSError as reason:
        raise error(f"{name} could not be read: {reason}. Try again.") from None
    finally:
        process.close()
    if answer is None:
        raise error(f"{name} needs too much memory to be read. {advice}")
    return answer
