"""The OpenAPI document names every route of /v1, and what it names exists."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx

from modules.api.openapi.document import openapi_document
from modules.app import App
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import describe
from modules.settings.config import Config
from tests.api.test_access import _all
from tests.support.server import serving


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(target := value.get("$ref"), str):
            yield target.rpartition("/")[2]
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from _references(part)


def test_every_route_is_in_the_document(app: App) -> None:
    served = {path for path in _all(app) if path.startswith("/v1/")} - {"/v1/x"}
    described = {re.sub(r"\{[^}]*\}", "x", path) for path in openapi_document()["paths"]}
    assert described == served


def test_every_reference_is_there_and_every_schema_is_used() -> None:
    document = openapi_document()
    assert set(_references(document)) == set(document["components"]["schemas"])


def test_a_request_may_have_every_sampling_parameter() -> None:
    known = openapi_document()["components"]["schemas"]
    names = {entry.name for entry in describe(SamplingParams)}
    for request in ("ChatRequest", "CompletionRequest", "ResponseRequest", "AnthropicRequest"):
        assert names <= set(known[request]["properties"])


def test_it_is_served_behind_the_gate(config: Config) -> None:
    with closing(App(dataclasses.replace(config, api_key="word"))) as app, serving(app) as address:
        assert httpx.get(f"{address}/v1/openapi.json").status_code == 401
        served = httpx.get(f"{address}/v1/openapi.json", headers={"x-api-key": "word"})
    assert served.json() == openapi_document()
