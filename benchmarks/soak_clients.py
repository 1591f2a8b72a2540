"""The clients of the soak: each does one thing once, over and over until the soak ends."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from benchmarks.server import Running

# Copies of the demo model. The page's is pinned, and the others take turns beside it.
MODELS = ("page.gguf", "second.gguf", "third.gguf")
_PATIENCE = 60.0
_REPLY = 24
# A reply that a client does not wait for. The replies at once share the context of 2,048 tokens.
_LONG = 500


@dataclass
class Soak:
    """What the clients share. `faults`: sentences about wrong answers. `chats`: id -> messages sent."""

    server: Running
    over: threading.Event = field(default_factory=threading.Event)
    done: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    chats: dict[str, int] = field(default_factory=dict)


def ask(server: Running, model: str, prompt: str) -> str:
    """Return the model's answer. Raise RuntimeError if there is none."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "max_tokens": _REPLY}
    status, answer = _post(server, "/v1/chat/completions", body)
    if status != 200:
        raise RuntimeError(f"{model} answered with {status}: {answer}")
    return str(answer["choices"][0]["message"]["content"])


def answers_at_once(soak: Soak) -> None:
    """Ask the page's model."""
    ask(soak.server, MODELS[0], f"What is a context? {random.random()}")


def swaps_models(soak: Soak) -> None:
    """Ask another model each time, so that the one before makes room."""
    ask(soak.server, random.choice(MODELS[1:]), "What is a loader?")


def cancels(soak: Soak) -> None:
    """Read some of a long reply, then hang up."""
    _begin(soak.server, MODELS[0], read=random.randrange(1, 8))


def stalls(soak: Soak) -> None:
    """Read nothing of a long reply for a while."""
    response = _stream(soak.server, MODELS[0])
    soak.over.wait(2.0)
    response.close()


def hangs_up_early(soak: Soak) -> None:
    """Close the connection in the middle of a request, or right after it."""
    body = json.dumps({"model": random.choice(MODELS), "prompt": "x", "max_tokens": _LONG}).encode()
    head = b"POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
    head = head % soak.server.port + b"Content-Length: %d\r\n\r\n" % len(body)
    raw = head + body
    with socket.create_connection(("127.0.0.1", soak.server.port), timeout=_PATIENCE) as connection:
        connection.sendall(raw[: random.choice((10, len(head), len(raw) - 5, len(raw)))])
        soak.over.wait(random.random() / 5)


def sends_rubbish(soak: Soak) -> None:
    """Send what is no request. The answer must be a 4xx with a sentence."""
    rubbish: tuple[tuple[str, Any], ...] = (
        ("/v1/chat/completions", b"{"),
        ("/v1/chat/completions", b"\xff\xfe" * 50),
        ("/v1/chat/completions", {"messages": "hello"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}], "temperature": -4}),
        ("/v1/completions", {"prompt": "x", "max_tokens": -7}),
        ("/v1/completions", {"model": "no such model", "prompt": "x"}),
        ("/v1/completions", {"prompt": "x", "keep_alive": "soon"}),
        ("/v1/embeddings", {"input": []}),
        ("/v1/nothing", {}),
    )
    path, body = random.choice(rubbish)
    status, answer = _post(soak.server, path, body)
    if not 400 <= status < 500 or not answer.get("error", {}).get("message"):
        raise RuntimeError(f"{path} answered rubbish with {status}: {answer}")
    soak.over.wait(0.05)


def embeds(soak: Soak) -> None:
    """Ask for vectors."""
    status, answer = _post(soak.server, "/v1/embeddings", {"model": MODELS[0], "input": ["one", "two"]})
    if status != 200 or len(answer["data"]) != 2:
        raise RuntimeError(f"/v1/embeddings answered with {status}: {answer}")


def chats_on_the_page(soak: Soak) -> None:
    """Send a message in a chat of the page, and wait for the reply."""
    known = list(soak.chats)
    if known and random.random() < 0.7:
        chat = random.choice(known)
    else:
        chat = str(_post(soak.server, "/paddock/chats", {})[1]["id"])
    status, answer = _post(soak.server, f"/paddock/chats/{chat}/send", {"text": f"Message {random.random()}"})
    if status != 200:
        raise RuntimeError(f"A message was refused with {status}: {answer}")
    soak.chats[chat] = soak.chats.get(chat, 0) + 1
    _wait_for_reply(soak.server, chat)


CLIENTS = (
    answers_at_once,
    answers_at_once,
    swaps_models,
    cancels,
    cancels,
    stalls,
    hangs_up_early,
    sends_rubbish,
    embeds,
    chats_on_the_page,
)


def finish_chats(soak: Soak) -> int:
    """Return the number of chats. Raise RuntimeError if a message or a reply is missing."""
    for chat, sent in soak.chats.items():
        messages = _messages(soak.server, chat)
        users = [message for message in messages if message["role"] == "user"]
        replies = [message for message in messages if message["role"] == "assistant"]
        if len(users) != sent or len(replies) != sent:
            raise RuntimeError(f"A chat of {sent} messages has {len(users)}, and {len(replies)} replies.")
    return len(soak.chats)


def _post(server: Running, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_PATIENCE)
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, raw, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer = json.loads(response.read() or b"{}")
    connection.close()
    return response.status, answer


def _stream(server: Running, model: str) -> http.client.HTTPResponse:
    body = {"model": model, "prompt": "Once", "max_tokens": _LONG, "ban_eos_token": True, "stream": True}
    response = server.post("/v1/completions", body)
    if response.status != 200:
        raise RuntimeError(f"A stream was refused with {response.status}: {response.read()[:500]!r}")
    return response


def _begin(server: Running, model: str, read: int) -> None:
    response = _stream(server, model)
    for _ in range(read):
        response.readline()
    response.close()


def pin_page_model(server: Running) -> None:
    """Keep the page's model, so that its worker's memory can be compared."""
    status, answer = _post(server, "/paddock/models/loaded/pin", {"model": MODELS[0], "pinned": True})
    if status != 200:
        raise RuntimeError(f"The page's model was not pinned: {answer}")


def _wait_for_reply(server: Running, chat: str) -> None:
    for change in _changes(server, chat):
        if not change["living"]:
            return


def _messages(server: Running, chat: str) -> list[dict[str, Any]]:
    return list(next(_changes(server, chat))["add"])


def _changes(server: Running, chat: str) -> Iterator[dict[str, Any]]:
    """Yield how the messages of a chat change, the first time all of them."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=_PATIENCE)
    connection.request("GET", f"/paddock/chats/{chat}/events")
    name = b""
    with connection.getresponse() as feed:
        for line in feed:
            if line.startswith(b"event: "):
                name = line[7:].strip()
            elif line.startswith(b"data: ") and name == b"messages":
                yield json.loads(line[6:])
    raise RuntimeError("The feed of a chat ended.")
