"""An open page without a browser: its session, its components' values and its events, over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

import httpx


class OpenPage:
    """A page just opened at `address`. It keeps the version of the page that the server sent."""

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
        """Return the functions that a browser calls once the page has loaded, without those of the queue."""
        listed: list[dict[str, Any]] = self.config["dependencies"]
        return [
            entry for entry in listed if not entry["queue"] and any(event == "load" for _, event in entry["targets"])
        ]

    def call(self, function: dict[str, Any], data: list[Any] | None = None) -> httpx.Response:
        """Call a function directly, with `data` or else with the current values of its inputs."""
        values = [self.values.get(number) for number in function["inputs"]] if data is None else data
        return self._post("run/predict", function, values)

    def join(self, function: dict[str, Any]) -> httpx.Response:
        """Queue a call of a function without inputs."""
        return self._post("queue/join", function, [])

    def _post(self, route: str, function: dict[str, Any], data: list[Any]) -> httpx.Response:
        body = {"data": data, "fn_index": function["id"], "session_hash": self.session}
        return self.client.post(f"{self.prefix}/gradio_api/{route}", json=body)


def function_of(drawing: dict[str, Any], elem_id: str, event: str = "click") -> dict[str, Any]:
    """Return the function that this event of the component `elem_id` calls.

    `drawing`: the configuration of a page, or of a part of it that was drawn again.
    """
    number = next(entry["id"] for entry in drawing["components"] if entry["props"].get("elem_id") == elem_id)
    return next(entry for entry in drawing["dependencies"] if [number, event] in entry["targets"])
