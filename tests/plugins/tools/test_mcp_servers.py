"""MCP servers over stdio and HTTP: real ones, and ones that break every rule."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from anyio import EndOfStream
from anyio.abc import ByteReceiveStream

from modules.chat.chat_tools import chat_tools
from modules.plugins.tools.mcp_file import ServersFileError, read_servers
from modules.plugins.tools.mcp_process import WholeLines
from modules.plugins.tools.mcp_servers import McpServers
from modules.plugins.tools.tool import Tool
from modules.plugins.tools.tool_run import FAILED, OK, STOPPED, ToolResult, run_tool
from modules.plugins.tools.toolbox import SourceState
from modules.protocol.errors import PaddockError
from modules.settings.user_settings import YamlStore
from tests.conftest import ROOT
from tests.support.event_loop import run_async

pytestmark = pytest.mark.slow

SUPPORT = ROOT / "tests" / "support"
PATIENCE = 60.0


def own(how: str = "stdio", **more: Any) -> dict[str, Any]:
    """Return the entry of the real server."""
    return {"command": sys.executable, "args": [str(SUPPORT / "mcp_server.py"), how], **more}


def bad(how: str) -> dict[str, Any]:
    """Return the entry of the server that breaks the rules."""
    return {"command": sys.executable, "args": [str(SUPPORT / "bad_mcp_server.py"), how]}


class Servers:
    """The servers of one mcp.json, and what tests do with them."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "mcp.json"
        self.servers = McpServers(self.file)
        self.changed = threading.Event()
        self.servers.listeners.add(self.changed.set)

    def write(self, **entries: Any) -> None:
        self.file.write_text(json.dumps({"mcpServers": entries}))

    def state(self, name: str) -> SourceState:
        """Wait until a server has started or failed. Return its state."""
        while True:
            self.changed.clear()
            state = next(state for state in self.servers.states() if state.title == name)
            if state.state != "starting":
                return state
            assert self.changed.wait(PATIENCE), "the server neither started nor failed"

    def tool(self, server: str, name: str) -> Tool:
        return next(tool for tool in self.state(server).tools if tool.name == name)

    def call(self, server: str, tool: str, **arguments: Any) -> ToolResult:
        return run_tool(self.tool(server, tool), json.dumps(arguments), threading.Event())


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Servers]:
    """Return servers that end with the test, all of them."""
    made = Servers(tmp_path)
    yield made
    children = psutil.Process().children(recursive=True)
    made.servers.close()
    _, alive = psutil.wait_procs([one for one in children if "mcp" in " ".join(_command(one))], PATIENCE)
    assert not alive


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def test_a_server_over_stdio_lists_and_runs_its_tools(place: Servers) -> None:
    place.write(local=own(env={"MY_VALUE": "given"}))
    state = place.state("local")
    assert [tool.name for tool in state.tools][:3] == ["add", "shout", "fail"] and sys.executable in state.warning
    add = place.tool("local", "add")
    assert add.parameters["properties"]["a"]["type"] == "integer" and add.description == "Add two whole numbers."
    assert (place.call("local", "add", a=2, b=3).text, place.call("local", "shout", text="é").text) == ("5", "É")
    assert place.call("local", "variable", name="MY_VALUE").text == "given"
    # The client's own process knows no secrets of the host, and the server less.
    assert place.call("local", "variable", name="PYTEST_CURRENT_TEST").text == "not set"


def test_errors_of_tools_are_results(place: Servers) -> None:
    place.write(local=own())
    failed = place.call("local", "fail", why="no disk")
    assert failed.state == FAILED and "no disk" in failed.text
    assert place.call("local", "add", a="x").state == FAILED
    long = place.call("local", "flood", megabytes=3)
    assert (
        long.state == OK
        and len(long.text) < 21_000
        and long.text.endswith("[2,980,100 more characters were left out.]")
    )


def test_the_client_gets_whole_lines() -> None:
    class Pieces(ByteReceiveStream):
        left = [b"ab", b"c\nd", b"ef\n", b"re", b"st"]

        async def receive(self, max_bytes: int = 65536) -> bytes:
            if not self.left:
                raise EndOfStream
            return self.left.pop(0)

        async def aclose(self) -> None:
            self.left.clear()

    async def read() -> list[str]:
        return [text async for text in WholeLines(Pieces())]

    assert run_async(read()) == ["abc\nd", "ef\n", "rest"]


def test_a_slow_tool_is_given_up_and_the_server_lives_on(place: Servers) -> None:
    place.write(local=own())
    slow = place.tool("local", "sleep")
    result = run_tool(Tool(**{**vars(slow), "seconds": 0.5}), '{"seconds": 3}', threading.Event())
    assert result.state == FAILED and "0.5 seconds" in result.text
    assert place.call("local", "add", a=1, b=1).text == "2"
    stopped = threading.Event()
    stopped.set()
    assert run_tool(slow, '{"seconds": 3}', stopped).state == STOPPED


def test_a_server_that_dies_in_a_call_is_a_failed_call_and_starts_again(place: Servers) -> None:
    place.write(local=own())
    died = place.call("local", "leave")
    assert died.state == FAILED
    state = place.state("local")
    assert state.state == "failed" or state.tools
    place.servers.restart("local")
    assert place.call("local", "add", a=1, b=2).text == "3"
    with pytest.raises(PaddockError, match="no MCP server named"):
        place.servers.restart("nothing")


def test_a_server_over_http_gets_its_headers(place: Servers, http: str) -> None:
    place.write(web={"type": "http", "url": http, "headers": {"X-Key": "secret"}}, closed={"url": http})
    assert place.call("web", "add", a=20, b=22).text == "42"
    assert place.state("web").warning == f"Sends arguments to {http}."
    assert place.state("closed").state == "failed"


@pytest.fixture
def http() -> Iterator[str]:
    """Return the address of the real server over HTTP."""
    command = [sys.executable, str(SUPPORT / "mcp_server.py"), "http"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.kill()


def test_a_server_that_lies_about_its_schemas_is_refused_with_the_reason(place: Servers) -> None:
    place.write(liar=bad("lies"))
    state = place.state("liar")
    assert state.state == "failed" and not state.tools
    assert "breaks the rules of MCP: tools.3.inputSchema.type: Input should be 'object'" in state.note


def test_a_tool_that_no_prompt_can_hold_is_left_out(place: Servers) -> None:
    place.write(noisy=bad("garbage"))
    state = place.state("noisy")
    assert [tool.name for tool in state.tools] == ["good", "calculate"] and "'huge' was left out" in state.note
    # Its results are no results either.
    lie = place.call("noisy", "good")
    assert lie.state == FAILED and "breaks the rules of MCP" in lie.text


@pytest.mark.parametrize(
    ("how", "why"), [("crashes", "The config file is missing"), ("silent", "did not answer"), ("endless", "")]
)
def test_a_server_that_does_not_start_says_why(place: Servers, how: str, why: str) -> None:
    place.servers = McpServers(place.file, connect_seconds=4.0)
    place.servers.listeners.add(place.changed.set)
    place.write(broken=bad(how))
    state = place.state("broken")
    assert state.state == "failed" and why in state.note and not state.tools


def test_a_server_that_floods_breaks_only_its_own_process(place: Servers) -> None:
    place.write(flood=bad("floods"))
    tool = place.tool("flood", "good")
    result = run_tool(Tool(**{**vars(tool), "seconds": 20.0}), "{}", threading.Event())
    assert result.state == FAILED
    assert psutil.Process().memory_info().rss < 2 << 30


def test_a_server_that_notifies_without_end_still_answers(place: Servers) -> None:
    place.write(loud=bad("notifies"))
    tool = place.tool("loud", "good")
    heard: list[None] = []
    place.servers.listeners.add(lambda: heard.append(None))
    results = [run_tool(Tool(**{**vars(tool), "seconds": 20.0}), "{}", threading.Event()) for _ in range(5)]
    assert [(result.text, result.state) for result in results] == [("fine", OK)] * 5
    # Its tools are the same all the time, so no page has to draw them again.
    assert len(heard) < 5


def test_an_answer_with_another_id_is_no_answer(place: Servers) -> None:
    place.write(stray=bad("strays"))
    tool = place.tool("stray", "good")
    result = run_tool(Tool(**{**vars(tool), "seconds": 2.0}), "{}", threading.Event())
    assert result.state == FAILED and "did not answer within 2 seconds" in result.text


def test_bytes_that_are_no_text_end_in_a_result_or_a_sentence(place: Servers) -> None:
    place.write(binary=bad("binary"))
    tool = place.tool("binary", "good")
    result = run_tool(Tool(**{**vars(tool), "seconds": 20.0}), "{}", threading.Event())
    assert result.text == "fine" or (result.state == FAILED and "is gone" in result.text)


def test_a_program_that_is_not_there_says_so(place: Servers) -> None:
    place.write(none={"command": "/no/such/program"})
    assert "not found" in place.state("none").note


def test_an_entry_that_changes_starts_another_server_and_has_to_be_allowed_again(place: Servers) -> None:
    place.write(local=own())
    before = place.tool("local", "add")
    place.write(local=own(env={"A": "b"}))
    assert place.tool("local", "add").key == before.key, "a new key for the server's account is the same server"
    place.write(local={**own(), "args": [*own()["args"], "more"]})
    assert place.tool("local", "add").key != before.key


def test_a_reply_starts_the_servers_that_it_needs(place: Servers) -> None:
    place.write(local=own(), other=bad("silent"))
    key = place.tool("local", "add").key
    place.servers.close()
    place.servers = McpServers(place.file)
    assert key in [tool.key for tool in place.servers.tools([key], "")]
    assert place.servers.tools(["paddock/calculate"], "") == []


WRONG: list[Any] = [
    5,
    {"command": ""},
    {"command": "x", "url": "http://x"},
    {"command": "x", "args": "y"},
    {"command": "x", "env": [1]},
    {"command": "x", "env": {"A": None}},
    {"url": "file:///etc/passwd"},
    {"url": "http://x", "type": "sse"},
    {"command": "x", "cwd": 5},
]


def test_an_entry_that_is_wrong_says_what_to_write(tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {str(n): entry for n, entry in enumerate(WRONG)} | {"ok": own()}}))
    *wrong, good = read_servers(file)
    assert all(config.problem.endswith("Correct its entry in mcp.json.") or "{" in config.problem for config in wrong)
    assert not good.problem
    servers = McpServers(file)
    assert all(state.state == "failed" for state in servers.states()[: len(WRONG)])
    servers.close()


@pytest.mark.parametrize("text", ["{", "[]", "5", '{"mcpServers": []}', '{"other": {}}', "[" * 100_000, "\xff" * 10])
def test_a_file_that_is_wrong_is_a_sentence(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mcp.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ServersFileError, match=r"mcp\.json"):
        read_servers(file)
    (state,) = McpServers(file).states()
    assert state.state == "failed"


def test_without_a_file_there_are_no_servers(tmp_path: Path) -> None:
    assert McpServers(tmp_path / "mcp.json").states() == []


def test_the_host_never_imports_mcp() -> None:
    code = "import sys, modules.cli.application, modules.plugins.tools.mcp_servers; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_only_those_who_may_manage_see_the_servers(place: Servers, tmp_path: Path) -> None:
    place.write(wrong=5)

    def titles(may_manage: bool) -> list[str]:
        empty = SimpleNamespace(running=SimpleNamespace(in_order=list))
        owner: Any = SimpleNamespace(chats=None, extensions=empty, mcp=place.servers, may_manage=may_manage)
        return [state.title for state in chat_tools(YamlStore(tmp_path / "tools.yaml"), owner).states()]

    assert "wrong" in titles(True) and set(titles(False)) == {"Paddock"}
