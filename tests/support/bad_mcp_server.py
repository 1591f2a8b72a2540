"""A server that breaks the rules of MCP over stdio: `python tests/support/bad_mcp_server.py HOW`.

HOW: `lies` (about its schemas, and in its results), `silent`, `garbage`, `endless` (one line without an end), `floods`
(that line, when a tool is called), `crashes` (with words on stderr), `notifies` (that its tools changed, without end),
`strays` (answers calls under another id), `binary` (bytes that are no UTF-8 between its answers).
"""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

HOW = sys.argv[1]
WRITING = threading.Lock()
TOOLS: list[Any] = [
    {"name": "good", "description": "Fine", "inputSchema": {"type": "object", "properties": {}}},
    {"name": "huge", "inputSchema": {"type": "object", "description": "x" * 100_000}},
    {"name": "calculate", "description": "<b>bold</b>", "inputSchema": {"type": "object"}},
]
LIES: list[Any] = [
    {"name": "array", "description": "Takes an array", "inputSchema": {"type": "array"}},
    {"name": "wrong", "inputSchema": {"type": "object", "properties": {"a": 5}}},
]


def _answer(request: dict[str, Any]) -> dict[str, Any] | None:
    method = request.get("method")
    if method == "initialize":
        version = request["params"]["protocolVersion"]
        return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": {"name": "x", "version": "1"}}
    if method == "tools/list":
        return {"tools": [*TOOLS, *(LIES if HOW == "lies" else [])]}
    if method == "tools/call":
        if HOW == "floods":
            _endless()
        if HOW in ("notifies", "strays", "binary"):
            return {"content": [{"type": "text", "text": "fine"}]}
        return {"content": "no list of contents", "isError": "maybe"}
    return None


def _endless() -> None:
    while True:
        sys.stdout.write("x" * 1_000_000)
        sys.stdout.flush()


def _write(text: str) -> None:
    with WRITING:
        print(text, flush=True)


def _notify() -> None:
    while True:
        _write(json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}))


def main() -> None:
    """Serve until stdin ends."""
    if HOW == "crashes":
        sys.exit("The config file is missing")
    if HOW == "silent":
        threading.Event().wait()
    if HOW == "garbage":
        print("Welcome to my server!", flush=True)
        print("[" * 100_000, flush=True)
    if HOW == "endless":
        _endless()
    for line in sys.stdin:
        request = json.loads(line)
        if "id" not in request:
            continue
        result = _answer(request)
        if HOW == "notifies" and request["method"] == "tools/list" and threading.active_count() == 1:
            threading.Thread(target=_notify, daemon=True).start()
        if HOW == "strays" and request["method"] == "tools/call":
            request["id"] = 10_000
        if HOW == "binary" and request["method"] == "tools/call":
            sys.stdout.buffer.write(b"\xff\xfe\x80 no text\n")
            sys.stdout.buffer.flush()
        message: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        message |= {"error": {"code": -32601, "message": "Unknown method"}} if result is None else {"result": result}
        _write(json.dumps(message))


if __name__ == "__main__":
    main()
