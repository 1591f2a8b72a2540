"""Extensions over HTTP: their routes and tools, and rebuilding the page while it is served."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from modules.plugins.extension_overview import extension_statuses
from tests.plugins.conftest import PATIENCE, Talk
from tests.support.server import serving

# Whole servers.
pytestmark = pytest.mark.slow


class Site:
    """The served App."""

    def __init__(self, talk: Talk, address: str) -> None:
        self.talk = talk
        self.address = address

    def get(self, path: str, body: Any = None, method: str = "") -> tuple[int, str]:
        """Return (status, text)."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, method=method or ("POST" if data else "GET"))
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def after_rebuild(self, act: Any) -> None:
        """Do something that rebuilds the page, and wait for the new one."""
        # The page of a test's server is built at its first request.
        assert self.get("/config")[0] == 200
        app, before, built = self.talk.app, self.talk.app.page_build, threading.Event()
        end = app.supervisor.state_store.subscribe(lambda state: built.set() if app.page_build != before else None)
        act()
        assert built.wait(PATIENCE)
        end()


@pytest.fixture
def site(talk: Talk) -> Iterator[Site]:
    """Return a server without enabled extensions."""
    with serving(talk.app) as address:
        yield Site(talk, address)


ROUTES = """
def api_routes(settings):
    return {
        "GET hello": lambda request: {"hello": request.query.get("who", "world")},
        "post /count/": lambda request: {"n": len(request.json())},
        "GET text": lambda request: "plain",
        "GET bytes": lambda request: b"raw",
        "GET odd": lambda request: {1, 2},
    }
def tools():
    return [{"name": "add", "description": "Adds.", "call": lambda a, b: a + b}]
"""


def test_routes_answer_as_soon_as_the_extension_is_on_and_no_longer(site: Site) -> None:
    assert site.get("/extensions/own/hello")[0] == 404
    site.talk.add("own", ROUTES)
    assert site.get("/extensions/own/hello?who=you") == (200, '{"hello":"you"}')
    assert site.get("/extensions/own/count", [1, 2]) == (200, '{"n":2}')
    assert site.get("/extensions/own/text") == (200, "plain") and site.get("/extensions/own/bytes") == (200, "raw")
    assert site.get("/extensions/own/odd")[0] == 500
    status, text = site.get("/extensions/own/nothing")
    assert status == 404 and "GET hello" in text
    assert json.loads(site.get("/extensions")[1])[0]["routes"][0] == "GET bytes"
    site.talk.manager.disable("own")
    assert site.get("/extensions/own/hello")[0] == 404


def test_what_an_extension_puts_around_the_api_stands_there_while_it_is_on(site: Site) -> None:
    code = """
        from starlette.responses import JSONResponse
        async def closed(request, call_next):
            if request.url.path == "/v1/models":
                return JSONResponse({"closed": True}, 423)
            return await call_next(request)
        http_middlewares = [closed]
        """
    site.talk.add("door", code)
    assert site.get("/v1/models") == (423, '{"closed":true}')
    assert '"text":"good day"' in site.get("/v1/completions", {"prompt": "good day"})[1]
    assert site.get("/extensions")[0] == 200
    site.talk.manager.disable("door")
    assert site.get("/v1/models")[0] == 200
    site.talk.add("wrong", "http_middlewares = 5")
    assert site.get("/v1/models")[0] == 200 and site.talk.manager.failures.get("wrong") is not None


def test_tools_are_listed_and_called(site: Site) -> None:
    site.talk.add("own", ROUTES)
    (tool,) = json.loads(site.get("/extensions/tools")[1])
    assert (tool["extension"], tool["name"], tool["parameters"]["type"]) == ("own", "add", "object")
    assert site.get("/extensions/own/tools/add", {"a": 1, "b": 2}) == (200, "3")
    assert site.get("/extensions/own/tools/no", {})[0] == 404
    assert site.get("/extensions/own/tools/add", [1])[0] == 400
    assert site.get("/extensions/own/tools/add", b"[" * 100_000)[0] == 400


def test_a_route_that_fails_switches_its_extension_off_and_the_server_goes_on(site: Site) -> None:
    site.talk.add("bad", "def api_routes():\n    return {'GET x': lambda request: exit(1)}")
    status, text = site.get("/extensions/bad/x")
    assert status == 500 and "it called sys.exit" in text
    assert site.get("/extensions/bad/x")[0] == 404 and site.get("/v1/models")[0] == 200


def test_routes_that_are_no_routes_are_a_fault(site: Site) -> None:
    from modules.protocol.errors import PaddockError

    with pytest.raises(PaddockError, match="functions by method and path"):
        site.talk.add("bad", "def api_routes():\n    return {'hello': 1}")


def test_the_page_is_rebuilt_and_an_open_page_is_notified(site: Site) -> None:
    manager = site.talk.manager
    code = "import gradio as gr\ndef ui():\n    gr.Textbox(label='Made by the panel')\n"
    code += "def custom_css():\n    return '.x { color: red } </style><b>'\n"
    code += "def custom_js():\n    return 'let a = \"</script>\"'\n"
    assert "Made by the panel" not in site.get("/config")[1]
    before = site.talk.app.page_build
    site.after_rebuild(lambda: site.talk.add("panel", code))
    assert "Made by the panel" in site.get("/config")[1]
    page = site.get("/")[1]
    assert ".x { color: red }" in page and "</style><b>" not in page and '</script>"' not in page
    assert site.get(f"/{site.talk.app.page_build}/config")[0] == 200 and site.get("/page-7/config")[0] == 410
    assert "Made by the panel" not in site.get(f"/{before}/config")[1]
    site.after_rebuild(lambda: manager.disable("panel"))
    assert "Made by the panel" not in site.get("/config")[1]


def test_a_page_that_an_extension_spoils_is_built_without_it(site: Site) -> None:
    code = "import gradio as gr\ndef ui():\n    gr.Textbox(label='half a panel')\n    {}"
    site.after_rebuild(lambda: site.talk.add("good", "import gradio as gr\ndef ui():\n    gr.Textbox(label='whole')"))
    site.after_rebuild(lambda: site.talk.add("bad", code.format("raise ValueError('spoiled')")))
    text = site.get("/config")[1]
    assert "whole" in text and "half a panel" not in text
    status = next(status for status in extension_statuses(site.talk.manager) if status.name == "bad")
    assert status.state == "failed" and "ValueError: spoiled" in status.message


def test_a_page_whose_extension_replaces_blocks_is_built_with_the_real_ones(site: Site) -> None:
    import gradio

    real = gradio.Blocks
    site.after_rebuild(lambda: site.talk.add("thief", "import gradio as gr\ndef ui():\n    gr.Blocks = dict"))
    assert gradio.Blocks is real and site.get("/config")[0] == 200
    assert "it replaced gradio.Blocks" in site.talk.manager.failures.get("thief").message  # type: ignore[union-attr]


def _plain() -> tuple[Any, Any]:
    from tests.plugins.conftest import OPTIONS, PARAMS

    return PARAMS, OPTIONS
