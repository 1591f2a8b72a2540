"""Run one call of a tool: within its time, with a bounded result, and never with an exception."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass

from modules.plugins.tools.tool import Tool, ToolCancelled
from modules.protocol.errors import PaddockError
from modules.system.threads import host_thread

_LOG = logging.getLogger(__name__)
# Characters of a result that the model reads. More would fill the context.
LONGEST_RESULT = 20_000
# How often a waiting call looks whether the reply was stopped.
_TICK = 0.1

OK, FAILED, REFUSED, STOPPED = "ok", "failed", "refused", "stopped"


@dataclass(frozen=True)
class ToolResult:
    """What a call returned. `state`: OK, FAILED, REFUSED or STOPPED; `text` is then a sentence that says why."""

    text: str
    state: str = OK
    seconds: float = 0.0


def run_tool(tool: Tool, arguments: str, stopped: threading.Event) -> ToolResult:
    """Call the tool with `arguments`, a JSON object as text. Return when it ends, at its limit, or when stopped."""
    begun = time.monotonic()
    try:
        values = json.loads(arguments or "{}")
        if not isinstance(values, dict):
            raise ValueError
    except (ValueError, RecursionError):
        return ToolResult("The arguments are not a JSON object. Call the tool again with one.", FAILED)
    found: list[ToolResult] = []
    ended, given_up = threading.Event(), threading.Event()

    def call() -> None:
        try:
            found.append(ToolResult(_bounded(tool.call(values, given_up))))
        except ToolCancelled as error:
            found.append(ToolResult(error.message, STOPPED))
        except PaddockError as error:
            found.append(ToolResult(_bounded(error.message), FAILED))
        except (Exception, SystemExit) as error:
            _LOG.info("The tool %s failed.", tool.key, exc_info=True)
            found.append(ToolResult(_bounded(f"The tool failed: {type(error).__name__}: {error}"), FAILED))
        finally:
            ended.set()

    host_thread(f"tool-{tool.name}", call, f"Calling the tool {tool.name}").start()
    while not ended.wait(_TICK):
        if stopped.is_set():
            given_up.set()
            return ToolResult("The reply was stopped before the tool ended.", STOPPED, time.monotonic() - begun)
        if time.monotonic() - begun > tool.seconds:
            given_up.set()
            text = f"The tool did not answer within {tool.seconds:g} seconds. Its call was given up."
            return ToolResult(text, FAILED, time.monotonic() - begun)
    result = found[0] if found else ToolResult("The tool ended without a result.", FAILED)
    return ToolResult(result.text, result.state, time.monotonic() - begun)


def _bounded(text: object) -> str:
    """Return a result as text that can be stored, cut to `LONGEST_RESULT`."""
    whole = text if isinstance(text, str) else str(text)
    cut = whole[:LONGEST_RESULT].encode("utf-8", "replace").decode("utf-8")
    if len(whole) <= LONGEST_RESULT:
        return cut
    return f"{cut}\n[The result has {len(whole):,} characters. The rest was left out.]"
