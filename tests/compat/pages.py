"""A page of Gradio without a browser: the values of its components, and events as a browser would fire them."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.state_holder import SessionState

from tests.support.event_loop import run_async


class Browser:
    """An open page. `held`: component's id -> its value in the browser."""

    def __init__(self, page: gr.Blocks) -> None:
        self.page = page
        self._session = SessionState(page)
        components = page.get_config_file()["components"]
        self.held: dict[int, Any] = {entry["id"]: entry["props"].get("value") for entry in components}
        self.config = {entry["id"]: entry for entry in components}
        self.failed: list[str] = []

    def fire(self, component: Any, event: str) -> None:
        """Fire an event and the events that are chained to it."""
        for number, function in self.page.fns.items():
            if (component._id, event) in function.targets:
                self._run(number)

    def _run(self, number: int) -> None:
        function = self.page.fns[number]
        worked = True
        if function.fn is not None:
            try:
                self._call(function)
            except Exception as error:
                worked = False
                self.failed.append(str(error))
        for other, later in self.page.fns.items():
            if later.trigger_after == number:
                wanted = worked if later.trigger_only_on_success else not worked or not later.trigger_only_on_failure
                if wanted:
                    self._run(other)

    def _call(self, function: Any) -> None:
        iterator: Any = None
        while True:
            given = [self.held.get(block._id) for block in function.inputs]
            call = self.page.process_api(function, given, state=self._session, iterator=iterator, request=None)
            answer = run_async(call)
            if answer["is_generating"] or iterator is None:
                for block, value in zip(function.outputs, answer["data"], strict=True):
                    self._take(block, value)
            iterator = answer["iterator"]
            if not answer["is_generating"]:
                return

    def _take(self, block: Any, value: Any) -> None:
        if isinstance(value, dict) and value.get("__type__") == "update":
            self.config[block._id]["props"].update({key: one for key, one in value.items() if key != "__type__"})
            if "value" in value:
                self.held[block._id] = value["value"]
        else:
            self.held[block._id] = value
