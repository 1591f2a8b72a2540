"""An open page as the host knows it: its session, what it shows, and its events, over HTTP and without a browser."""

from __future__ import annotations

import uuid
from typing import Any

import httpx


class OpenPage:
    """One page of the server at `address`, just opened; it stays with the build that it got."""

    def __init__(self, address: str) -> None:
        self.client = httpx.Client(base_url=address, timeout=90)
        self.config = self._get("/config")
        self.prefix = httpx.URL(self.config["root"]).path.rstrip("/")
        self.session = uuid.uuid4().hex
        self.values = {entry["id"]: entry["props"].get("value") for entry in self.config["components"]}

    def __enter__(self) -> OpenPage:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def _get(self, path: str) -> Any:
        return self.client.get(path).raise_for_status().json()

    def on_load(self) -> list[dict[str, Any]]:
        """The functions that a browser calls when it has the page, except those that go through the queue."""
        listed: list[dict[str, Any]] = self.config["dependencies"]
        return [
            entry for entry in listed if not entry["queue"] and any(event == "load" for _, event in entry["targets"])
        ]

    def call(self, function: dict[str, Any], data: list[Any] | None = None) -> httpx.Response:
        """Call a function at once, with what the page holds for its inputs or with `data`."""
        given = [self.values.get(number) for number in function["inputs"]] if data is None else data
        return self._post("run/predict", function, given)

    def join(self, function: dict[str, Any]) -> httpx.Response:
        """Put a call of a function without inputs into the queue."""
        return self._post("queue/join", function, [])

    def _post(self, route: str, function: dict[str, Any], data: list[Any]) -> httpx.Response:
        body = {"data": data, "fn_index": function["id"], "session_hash": self.session}
        return self.client.post(f"{self.prefix}/gradio_api/{route}", json=body)


def function_of(drawing: dict[str, Any], elem_id: str, event: str = "click") -> dict[str, Any]:
    """What this event of this component calls, in a page's configuration or in one drawing of a part of it."""
    number = next(entry["id"] for entry in drawing["components"] if entry["props"].get("elem_id") == elem_id)
    return next(entry for entry in drawing["dependencies"] if [number, event] in entry["targets"])
