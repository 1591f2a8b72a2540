"""Scripts around requests to Paddock's API, over real HTTP."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator

import httpx
import pytest

from modules.protocol.errors import PaddockError
from tests.compat.conftest import Stage
from tests.conftest import ROOMY
from tests.plugins.conftest import PATIENCE
from tests.support.server import serving

HEAD = """
import sys
from fastapi.responses import JSONResponse, StreamingResponse
from extensions.openai import script
seen = []
api = sys.modules["extensions.openai.script"].app
"""


@pytest.fixture
def client(stage: Stage) -> Iterator[httpx.Client]:
    """Return a client of the served App."""
    with serving(stage.app) as address, httpx.Client(base_url=address, timeout=PATIENCE) as client:
        yield client


def ask(client: httpx.Client, prompt: str = "good day", **more: object) -> httpx.Response:
    """Request a completion."""
    return client.post("/v1/completions", json={"prompt": prompt, "max_tokens": 30, **more})


def test_a_middleware_stands_around_requests_until_its_script_is_off(stage: Stage, client: httpx.Client) -> None:
    module = stage.script(
        "around",
        HEAD
        + """
@api.middleware("http")
async def count(request, call_next):
    seen.append((request.method, request.url.path, (await request.body())[:1]))
    response = await call_next(request)
    response.headers["x-around"] = str(response.status_code)
    return response
""",
    )
    answer = ask(client)
    assert answer.json()["choices"][0]["text"] == "good day" and answer.headers["x-around"] == "200"
    assert module.seen == [("POST", "/v1/completions", b"{")]
    assert "x-around" in client.get("/v1/models").headers and "x-around" not in client.get("/extensions").headers
    stage.manager.disable("around")
    assert "x-around" not in ask(client).headers and len(module.seen) == 2
    stage.manager.enable("around")
    assert "x-around" in ask(client).headers and len(module.seen) == 2


def test_streams_pass_through_as_they_come(stage: Stage, client: httpx.Client) -> None:
    module = stage.script(
        "around",
        HEAD
        + """
async def chunks(response):
    async for chunk in response.body_iterator:
        seen.append(chunk)
        yield chunk

@api.middleware("http")
async def stream(request, call_next):
    return StreamingResponse(chunks(await call_next(request)))
""",
    )
    stage.app.models.load("tiny", "echo", ROOMY)
    request = {"prompt": "a !long", "stream": True}
    with client.stream("POST", "/v1/completions", json={**request, "max_tokens": 900_000}) as got:
        coming = got.iter_lines()
        while len(module.seen) < 3:
            assert next(coming) != "data: [DONE]"
    with client.stream("POST", "/v1/completions", json={**request, "max_tokens": 300}) as got:
        lines = [line.removeprefix("data: ") for line in got.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    text = "".join(json.loads(line)["choices"][0]["text"] for line in lines)
    assert len(text.split()) == 300


def test_a_client_that_hangs_up_ends_its_generation_through_a_middleware(stage: Stage, client: httpx.Client) -> None:
    stage.script(
        "around", HEAD + "@api.middleware('http')\nasync def plain(request, go):\n    return await go(request)"
    )
    stage.app.models.load("tiny", "echo", ROOMY)
    request = {"prompt": "a !long", "max_tokens": 900_000}
    # More requests than slots: if the slots were not freed, the last answer would never arrive.
    for _ in range(3):
        with client.stream("POST", "/v1/completions", json={**request, "stream": True}) as response:
            next(response.iter_lines())
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/completions", json=request, timeout=0.5)
    assert ask(client).json()["choices"][0]["text"] == "good day"


def test_the_last_one_is_outermost_and_may_answer_alone(stage: Stage, client: httpx.Client) -> None:
    code = HEAD + "@api.middleware('http')\nasync def mark(request, go):\n    {}"
    more = "answer = await go(request)\n    answer.headers['x-mark'] = {!r} + answer.headers.get('x-mark', '')"
    for name in ("one", "two"):
        stage.script(name, code.format(more.format(name) + "\n    return answer"))
    assert ask(client).headers["x-mark"] == "twoone"
    stage.script("alone", code.format("return JSONResponse({'mine': 1}, 418)"))
    assert (ask(client).status_code, ask(client).json()) == (418, {"mine": 1})


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('broken')",
        "await request.body()\n    raise ValueError('broken')",
        "await go(request)\n    raise ValueError('broken')",
        "sys.exit('broken')",
        "return 'broken'",
    ],
    ids=["at once", "after reading", "after the answer", "exits", "no response"],
)
def test_a_failed_middleware_is_named_and_skipped(stage: Stage, client: httpx.Client, body: str) -> None:
    stage.script("bad", HEAD + f"@api.middleware('http')\nasync def bad(request, go):\n    {body}")
    assert ask(client).json()["choices"][0]["text"] == "good day"
    fault = stage.manager.failures.get("bad")
    assert fault is not None and fault.hook == "http_middleware" and "switched off" in fault.message
    assert stage.manager.running.get("bad") is None
    # After a retry it is loaded again and handles requests again.
    stage.manager.enable("bad")
    assert stage.manager.failures.get("bad") is None
    assert ask(client).json()["choices"][0]["text"] == "good day"
    assert stage.manager.failures.get("bad") is not None


def test_what_it_does_after_the_answer_may_fail_without_harm_to_the_answer(stage: Stage, client: httpx.Client) -> None:
    stage.script(
        "late",
        HEAD
        + """
@api.middleware("http")
async def late(request, call_next):
    response = await call_next(request)
    async def chunks():
        async for chunk in response.body_iterator:
            yield chunk
        raise ValueError("too late")
    return StreamingResponse(chunks())
""",
    )
    assert ask(client).json()["choices"][0]["text"] == "good day"
    fault = stage.manager.failures.get("late")
    assert fault is not None and "too late" in fault.message


def test_a_middleware_that_hangs_times_out_and_delays_no_other_request(stage: Stage, client: httpx.Client) -> None:
    folder = stage.folder("hung")
    folder.mkdir(parents=True)
    (folder / "extension.yaml").write_text("seconds: 1\n")
    module = stage.script(
        "hung",
        HEAD
        + """
import threading
entered, free = threading.Event(), threading.Event()
@api.middleware("http")
async def hang(request, go):
    if request.url.path == "/v1/models":
        return await go(request)
    entered.set()
    free.wait()
""",
    )
    answers: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: answers.append(ask(client)))
    thread.start()
    assert module.entered.wait(PATIENCE)
    with httpx.Client(base_url=client.base_url, timeout=PATIENCE) as other:
        assert other.get("/v1/models").status_code == 200
    thread.join(PATIENCE)
    module.free.set()
    assert answers[0].json()["choices"][0]["text"] == "good day"
    fault = stage.manager.failures.get("hung")
    assert fault is not None and "longer than 1 second" in fault.message


DUCK = (
    HEAD
    + """
from modules import shared
from modules.models import load_model, unload_model
last, around_api = [], []
def back():
    if last and shared.model is None and shared.model_name == "None":
        shared.model, shared.tokenizer = load_model(last.pop())
def away():
    last.append(shared.model_name)
    unload_model()
def history_modifier(history):
    back()
    return history
def output_modifier(string, state, is_chat=False):
    if not around_api:
        away()
    return string
@api.middleware("http")
async def duck(request, call_next):
    if request.url.path != "/v1/completions" or not around_api:
        return await call_next(request)
    back()
    response = await call_next(request)
    async def chunks():
        async for chunk in response.body_iterator:
            yield chunk
        away()
    return StreamingResponse(chunks())
"""
)


def test_a_model_can_be_unloaded_after_each_answer_and_loaded_before_the_next(
    stage: Stage, client: httpx.Client
) -> None:
    module = stage.script("duck", DUCK)
    module.around_api.append(True)
    for _ in range(2):
        assert ask(client).json()["choices"][0]["text"] == "good day"
        assert stage.app.supervisor.state.phase == "empty" and module.last == ["tiny"]
    module.around_api.clear()
    for _ in range(2):
        message = stage.ask("good day")[-1]
        assert message.text == "good day" and message.meta["model"] == "tiny"
        assert stage.app.supervisor.state.phase == "empty"
    assert stage.manager.failures.get("duck") is None


def test_other_code_finds_the_module_only_where_it_was_looked_for(stage: Stage) -> None:
    with pytest.raises(ModuleNotFoundError):
        __import__("extensions.openai.script")
    module = stage.script("around", HEAD + "import extensions.openai.script as again")
    assert module.script is module.again is sys.modules["extensions.openai.script"]
    stage.app.scripts.close()
    assert "extensions.openai.script" not in sys.modules


def test_missing_parts_of_the_api_are_named(stage: Stage) -> None:
    for code in ("api.middleware('websocket')", "api.add_api_route('/x', print)", "import extensions.openai.errors"):
        with pytest.raises(PaddockError, match="Paddock"):
            stage.script("lacks", HEAD + code)
