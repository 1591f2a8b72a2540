"""The interface of Paddock for extensions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.plugins.request_model import hook_model
from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build
from modules.system.shared_values import SharedValues


@dataclass(frozen=True)
class ApiRequest:
    """A request to an extension's own route. `body` is the raw body; `json()` parses it."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """Return the body parsed as JSON. Raises ValueError."""
        import json

        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("The body is nested too deeply.") from None


class Host:
    """One extension's access to Paddock.

    `name`: the extension's name. `folder`: the folder of its files. `data`: a folder that it may write to; create it
    before the first write. `store`: a dictionary of JSON values shared with the extension's code in the worker, where
    it is `host.store` too. Values written here before the model begins a reply are available there during it; values
    written there are available here at its end. `app`: all of Paddock; it may change with any version.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        data: Path,
        app: Any,
        read_settings: Callable[[], dict[str, object]],
        save_settings: Callable[..., None],
    ) -> None:
        self.name = name
        self.folder = folder
        self.data = data
        self.app = app
        self.store = SharedValues("host")
        self._read_settings = read_settings
        self._save_settings = save_settings

    @property
    def values(self) -> dict[str, object]:
        """A copy of the saved settings of this extension, by name."""
        return self._read_settings()

    def keep(self, values: Mapping[str, object]) -> None:
        """Save these settings of the extension in addition to saved ones. None deletes a setting. They apply from the
        next hook on. Raises SettingError for a value that its `Settings` do not allow."""
        self._save_settings(values)

    @property
    def model(self) -> str:
        """The loaded model's name, or "": in a request to the API the model that it asks, else the page's."""
        state = hook_model(self.app).state
        return str(state.model) if state.phase == "ready" else ""

    @property
    def loader(self) -> str:
        """The name of the loader that runs the model, or ""."""
        state = hook_model(self.app).state
        return str(state.loader) if state.phase == "ready" else ""

    def tokenize(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens. Raises PaddockError if no model is loaded."""
        return list(hook_model(self.app).tokenize(text))

    def detokenize(self, tokens: list[int]) -> str:
        """Return the text of these tokens."""
        return str(hook_model(self.app).detokenize(tokens))

    def generate(self, prompt: str, **sampling: object) -> str:
        """Return the loaded model's continuation of a prompt; blocking. `sampling`: fields of SamplingParams."""
        return "".join(self.stream(prompt, **sampling))

    def stream(self, prompt: str, **sampling: object) -> Iterator[str]:
        """Yield the continuation of a prompt in pieces as they arrive. Closing the iterator stops the model."""
        generation = hook_model(self.app).generate(prompt, build(SamplingParams, sampling))
        try:
            yield from generation.follow()
        finally:
            if not generation.done:
                generation.cancel()
        if generation.error is not None:
            raise PaddockError(generation.error.message, detail=generation.error.detail)

    def probabilities(self, prompt: str, top: int = 20) -> list[dict[str, Any]]:
        """Return the most probable next tokens: [{"token", "text", "probability"}]."""
        return list(hook_model(self.app).next_token_probabilities(prompt, top))
