"""An OpenAI-compatible server's own stream, greedy: `python remote_raw.py FILE PROMPT ADDRESS`."""

from __future__ import annotations

import http.client
import json
import sys
from collections.abc import Iterator
from urllib.parse import urlsplit

from loop import serve


def main(_file: str, prompt: str, address: str) -> None:
    """Serve rounds."""
    where = urlsplit(address).netloc

    def generate(count: int) -> int:
        body = {"prompt": prompt, "max_tokens": count, "temperature": 0, "ignore_eos": True, "stream": True}
        body["stream_options"] = {"include_usage": True}
        connection = http.client.HTTPConnection(where)
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        made = 0
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                usage = json.loads(line[6:]).get("usage")
                made = usage["completion_tokens"] if usage else made
        connection.close()
        return made

    def stream(text: str, count: int) -> Iterator[None]:
        body = {"prompt": text, "max_tokens": count, "temperature": 0, "ignore_eos": True, "stream": True}
        connection = http.client.HTTPConnection(where)
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        for line in connection.getresponse():
            if line.startswith(b"data: {"):
                yield None
        connection.close()

    generate(4)
    serve(generate, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
