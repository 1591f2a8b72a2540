"""A missing service fails one message. A fault in the code disables its extension."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from modules.plugins.extension_overview import extension_statuses
from modules.ui.retry import retry
from tests.plugins.conftest import Talk

pytestmark = pytest.mark.slow

_OUTSIDE = [
    "raise ConnectionRefusedError(111, 'refused')",
    "raise TimeoutError('timed out')",
    "import socket; raise socket.gaierror(-2, 'Name or service not known')",
    "import ssl; raise ssl.SSLError('certificate')",
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9/')",
    "import urllib.error; raise urllib.error.HTTPError('http://x', 503, 'Unavailable', {}, None)",
    "import http.client; raise http.client.RemoteDisconnected('closed')",
    "import httpx; httpx.get('http://127.0.0.1:9/')",
    "import httpx; httpx.Response(500, request=httpx.Request('GET', 'http://x')).raise_for_status()",
    "import asyncio; asyncio.run(asyncio.wait_for(asyncio.sleep(60), 0.01))",
    "import json; json.loads('<html>')",
    "import subprocess; subprocess.run(['no-such-program'])",
    "from modules.protocol.errors import PaddockError; raise PaddockError('The service wants a key.')",
    "try:\n    raise ConnectionError('gone')\nexcept OSError as error:\n    raise RuntimeError('mine') from error",
    "raise type('ApiError', (Exception,), {'status_code': 429})('slow down')",
]
_FAULTS = [
    "raise ValueError('broken')",
    "return 1 / 0",
    "return undefined",
    "import no_such_package",
    "return 3",
    "raise SystemExit",
    "try:\n    raise ConnectionError('gone')\nexcept OSError:\n    return {}['answer']",
]


@pytest.mark.parametrize("body", _OUTSIDE)
def test_a_failure_outside_an_extension_fails_only_that_message(talk: Talk, body: str) -> None:
    code = "work = [False]\ndef input_modifier(string):\n    if not work[0]:\n{}\n    return string + '!'"
    talk.add("lookup", code.format(textwrap.indent(body, " " * 8)))
    chat = talk.app.chats.create().id
    asked, reply = talk.ask("hello", chat)
    assert asked.text == "hello" and asked.meta["raw"]
    assert reply.text == "" and "Lookup could not do its part (input_modifier)" in reply.meta["error"]
    assert reply.meta["code"] == "extension"
    assert _status(talk, "lookup").state == "on" and "could not do its part" in _status(talk, "lookup").message
    assert _status(talk, "lookup").output == ""
    running = talk.manager.running.get("lookup")
    assert running is not None
    running.plugin.work[0] = True
    retry(talk.app, chat, reply.id, lower=False)
    asked, reply = talk.settle(chat)
    assert (asked.meta["internal"], reply.text) == ("hello!", "hello!")
    assert _status(talk, "lookup").message == ""


@pytest.mark.parametrize("body", _FAULTS)
def test_a_fault_in_the_code_disables_it_and_is_shown_on_the_card(talk: Talk, body: str) -> None:
    talk.add("bad", "def input_modifier(string):\n" + textwrap.indent(body, " " * 4))
    assert talk.ask("hello")[-1].text == "hello"
    assert _status(talk, "bad").state == "failed"


def _status(talk: Talk, name: str) -> Any:
    return next(status for status in extension_statuses(talk.manager) if status.name == name)


@pytest.mark.parametrize(
    "hook",
    [
        "history_modifier(history)",
        "state_modifier(state)",
        "chat_input_modifier(text)",
        "input_modifier(string)",
        "custom_generate_chat_prompt(user_input)",
        "bot_prefix_modifier(string)",
        "custom_tokenized_length(prompt)",
        "custom_generate_reply(question)",
        "stream_modifier(text)",
        "output_modifier(string)",
    ],
)
def test_a_missing_service_in_any_hook_fails_only_that_message(talk: Talk, hook: str) -> None:
    talk.add("lookup", f"def {hook}:\n    raise ConnectionError('gone')")
    chat = talk.app.chats.create().id
    messages = talk.ask("hello", chat)
    assert messages[0].text == "hello"
    assert (
        "could not do its part" in messages[-1].meta["error"] and "ConnectionError: gone" in messages[-1].meta["error"]
    )
    assert messages[-1].text == ("hello" if "output" in hook else "")
    assert _status(talk, "lookup").state == "on"
    talk.manager.disable("lookup")
    retry(talk.app, chat, messages[-1].id, lower=False)
    messages = talk.settle(chat)
    assert messages[-1].text == "hello" and "error" not in messages[-1].meta


def test_a_hook_that_times_out_waiting_for_a_service_stays_enabled(talk: Talk) -> None:
    code = """
        import socket
        def input_modifier(string):
            server = socket.create_server(("127.0.0.1", 0))
            with socket.create_connection(server.getsockname()) as client:
                client.makefile().readline()
        """
    talk.add("slow", code, "seconds: 0.3")
    assert "took longer than 0.3 seconds" in talk.ask("hello")[-1].meta["error"]
    assert _status(talk, "slow").state == "on"


def test_a_service_missing_at_the_start_is_tried_again_with_the_next_message(talk: Talk, tmp_path: Path) -> None:
    there = tmp_path / "service"
    there.touch()
    code = f"def setup():\n    open({str(there)!r})\ndef input_modifier(string):\n    return string + '!'"
    talk.add("served", code)
    talk.manager._switch_off("served")
    there.unlink()
    talk.manager.start()
    assert _status(talk, "served").state == "on"
    assert "could not do its part (setup)" in talk.ask("hello")[-1].meta["error"]
    there.touch()
    assert talk.ask("hello")[-1].text == "hello!" and _status(talk, "served").message == ""
