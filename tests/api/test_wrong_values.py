"""Wrong values in every field of every route: a 4xx in the route's own shape, never a 5xx, and never silence."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from modules.api.request_params import read_options
from modules.app import App
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import describe
from modules.ui.routes import router

pytestmark = pytest.mark.slow

# Values as JSON texts. null is not among them: it means the same as no field.
VALUES = {
    "negative": "-5",
    "zero": "0",
    "fraction": "1.5",
    "huge": "1" + "0" * 30,
    "beyond floats": "1" + "0" * 400,
    "infinite": "1e999",
    "NaN": "NaN",
    "digits": '"3"',
    "text": '"x"',
    "true": "true",
    "list": "[]",
    "numbers": "[1]",
    "nothings": "[null]",
    "object": "{}",
    "other object": '{"x": [1]}',
}
# What each kind of field takes of them; everything else is wrong.
TEXT = {"digits", "text"}
TEXTS = {"list"}
TEXT_OR_TEXTS = TEXT | TEXTS
FLAG = {"true"}
OBJECT = {"object", "other object"}
NO = set[str]()
SECONDS = {"negative", "zero", "fraction", "digits"}
CHAT: dict[str, object] = {"messages": [{"role": "user", "content": "x"}], "max_tokens": 3}
SHARED: dict[str, set[str]] = {
    "preset": NO,
    "model": NO,
    "stream": FLAG,
    "stream_options": OBJECT,
    "n": NO,
    "top_logprobs": {"zero"},
    "ttl": SECONDS,
    "keep_alive": SECONDS,
    "truncation_length": {"zero"},
    "tools": TEXTS,
    "tool_choice": NO,
    "parallel_tool_calls": FLAG,
    "response_format": {"object"},
    "guided_choice": NO,
    "extensions": FLAG,
    "user": TEXT,
}
OF_CHATS: dict[str, set[str]] = {
    "messages": NO,
    "continue_": NO,
    "mode": NO,
    "character": TEXT,
    "name1": TEXT,
    "user_bio": TEXT,
    "instruction_template": NO,
    "instruction_template_str": TEXT,
    "enable_thinking": FLAG,
    "reasoning_effort": TEXT,
    "chat_template_kwargs": OBJECT,
}
OF_RESPONSES: dict[str, set[str]] = {
    "input": TEXT,
    "instructions": TEXT,
    "max_output_tokens": NO,
    "tools": TEXTS,
    "tool_choice": NO,
    "text": OBJECT,
    "reasoning": OBJECT,
    "previous_response_id": NO,
    "store": FLAG,
    "metadata": OBJECT,
    "truncation": NO,
    "include": TEXTS,
    "top_logprobs": {"zero"},
    "service_tier": TEXT,
    "max_tool_calls": NO,
    "background": NO,
    "messages": NO,
    "n": NO,
}
OF_MESSAGES: dict[str, set[str]] = {
    "messages": NO,
    "system": TEXT_OR_TEXTS,
    "max_tokens": NO,
    "tools": TEXTS,
    "tool_choice": NO,
    "stop_sequences": TEXTS,
    "thinking": NO,
    "output_config": OBJECT,
    "metadata": OBJECT,
    "continue_": NO,
    "n": NO,
    "logprobs": NO,
}
ROUTES: dict[str, tuple[dict[str, object], dict[str, set[str]]]] = {
    "chat/completions": (CHAT, {**SHARED, **OF_CHATS}),
    "completions": ({"prompt": "x", "max_tokens": 3}, {"prompt": TEXT | {"numbers"}, "echo": FLAG, "best_of": NO}),
    "responses": ({"input": "x", "max_output_tokens": 3, "store": False}, OF_RESPONSES),
    "messages": (CHAT, OF_MESSAGES),
    "messages/count_tokens": (CHAT, {"messages": NO, "max_tokens": NO, "truncation_length": {"zero"}}),
    # The echo loader makes no vectors, ranks nothing and reports no logits, so nothing is taken there.
    "embeddings": ({"input": "x"}, dict.fromkeys(("input", "dimensions", "encoding_format", "model", "ttl"), NO)),
    "rerank": ({"query": "x", "documents": ["x"]}, dict.fromkeys(("query", "documents", "top_n", "ttl"), NO)),
    "internal/logits": ({"prompt": "x"}, dict.fromkeys(("prompt", "top_logits", "use_samplers", "model"), NO)),
    "internal/encode": ({"text": "x"}, {"text": TEXT, "model": NO, "ttl": SECONDS}),
    "internal/decode": ({"tokens": [1]}, {"tokens": {"list", "numbers"}, "model": NO}),
    "internal/token-count": ({"text": "x"}, {"text": TEXT}),
    "internal/chat-prompt": (CHAT, {"messages": NO, "instruction_template_str": TEXT, "continue_": FLAG}),
    "internal/model/load": (
        {"model_name": "other", "loader": "nope"},
        dict.fromkeys(("model_name", "loader", "args", "settings", "beside", "pinned", "ttl"), NO),
    ),
    "internal/model/unload": ({"model_name": "nope"}, {"model_name": NO}),
    "internal/lora/load": ({"lora_names": ["nope"]}, {"lora_names": TEXTS}),
}


def _body(base: dict[str, object], field: str, value: str) -> bytes:
    rest = ", ".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in base.items() if name != field)
    return f'{{{rest}{", " if rest else ""}"{field}": {value}}}'.encode()


@pytest.mark.parametrize("path", ROUTES)
def test_wrong_values_get_4xx_in_the_apis_shape(client: httpx.Client, path: str) -> None:
    base, fields = ROUTES[path]
    wrong = []
    for field, takes in fields.items():
        for name, value in VALUES.items():
            if field in ("ttl", "keep_alive") and name in ("zero", "fraction", "digits"):
                continue  # They unload the model of the other tests.
            answer = client.post(f"/v1/{path}", content=_body(base, field, value))
            if answer.status_code not in ((200,) if name in takes else range(400, 500)):
                wrong.append((field, name, answer.status_code, answer.text[:100]))
            elif name not in takes and not answer.json()["error"]["message"]:
                wrong.append((field, name, answer.status_code, "no sentence"))
    assert not wrong


def test_a_value_of_null_is_no_value(client: httpx.Client) -> None:
    fields = [field for field in {**SHARED, **OF_CHATS} if field != "messages"]
    answer = client.post("/v1/chat/completions", json={**CHAT, **dict.fromkeys(fields)})
    assert answer.status_code == 200 and "warnings" not in answer.json()


def test_sampling_parameters_of_a_wrong_kind_are_refused(app: App) -> None:
    """A text that is a number is refused too, though presets and the command line have nothing else."""
    spec, taken = app.registry.get("echo"), []
    for setting in describe(SamplingParams):
        if setting.name == "json_schema":
            continue
        fits = {bool: ("true",), str: ("text", "digits"), list: ("text", "digits", "list")}.get(setting.kind, ())
        for name in VALUES.keys() - fits - {"negative", "zero", "fraction", "NaN"}:
            if setting.name == "logit_bias" and name == "object":
                continue
            try:
                read_options({"prompt": "x", setting.name: json.loads(VALUES[name])}, app.presets, spec)
                taken.append((setting.name, name))
            except PaddockError as error:
                assert error.message
    assert not taken


def test_two_names_of_one_parameter_must_agree(client: httpx.Client) -> None:
    for first, second, status in ((5, 5, 200), (5, 6, 400), (5, -7, 400)):
        given = {"prompt": "x", "max_tokens": first, "n_predict": second}
        assert client.post("/v1/completions", json=given).status_code == status


# For the page's routes, whose bodies hold texts, switches and lists.
ODD = {
    "beyond floats": VALUES["beyond floats"],
    "half a character": '"\\ud800"',
    "outside": '"../../x"',
    "deep": "[" * 500 + "]" * 500,
    "NaN within": '{"x": NaN}',
}


def _page_bodies(route: Any) -> Iterator[tuple[str, str]]:
    """Yield (field, JSON) for each odd value of each field that a route of the page reads."""
    hints = typing.get_type_hints(route.endpoint).values()
    for kind in [one for hint in hints for one in (hint, *typing.get_args(hint))]:
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            yield from ((name, value) for name in kind.model_fields for value in ODD.values())


def test_the_pages_routes_answer_wrong_values_with_a_sentence(echo: App, own_client: httpx.Client) -> None:
    wrong: list[tuple[object, ...]] = []
    tried = set()
    for route in router(echo).routes:
        path = re.sub(r"\{[^}]*\}", "9" * 30, str(getattr(route, "path", "")))
        for method in getattr(route, "methods", set()) - {"HEAD"}:
            if path.endswith("/events"):
                continue
            bodies = [("", "{"), ("", "NaN"), ("", "[]"), *(_page_bodies(route) if method == "POST" else ())]
            for field, value in bodies if method == "POST" else [("", "")]:
                tried.add(path)
                sent = f'{{"{field}": {value}}}' if field else value
                answer = own_client.request(
                    method, path, content=sent.encode(), headers={"content-type": "application/json"}
                )
                if answer.status_code >= 500:
                    wrong.append((method, path, field, value[:40], answer.status_code))
                elif answer.status_code >= 400 and not isinstance(answer.json().get("error"), str):
                    wrong.append((method, path, field, value[:40], answer.text[:80]))
                elif "NaN" in value and method == "POST" and answer.status_code < 400 and field:
                    wrong.append((method, path, field, value[:40], "taken"))
    assert not wrong and len(tried) > 60
