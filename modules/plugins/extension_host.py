"""What an extension may ask of Paddock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modules.protocol.errors import PaddockError
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build
from modules.protocol.shared_values import SharedValues


@dataclass(frozen=True)
class ApiRequest:
    """A request to an extension's own route. `body` is the raw body; `json()` reads it."""

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        import json

        try:
            return json.loads(self.body)
        except RecursionError:
            raise ValueError("The body is nested too deep.") from None


class Host:
    """One extension's door to Paddock.

    `name`: the extension's; `folder`: where its files lie; `data`: a folder of its own to write to (made by whoever
    first writes). `store`: a dictionary of JSON values that its code in the worker sees as `host.store` too; what is
    written before the model begins a reply is there for that one, and what is written there is here at its end.
    `app`: all of Paddock; what is reached through it may change with any version.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        data: Path,
        app: Any,
        kept: Callable[[], dict[str, Any]],
        keep: Callable[..., None],
    ) -> None:
        self.name = name
        self.folder = folder
        self.data = data
        self.app = app
        self.store = SharedValues("host")
        self._kept = kept
        self._keep = keep

    @property
    def values(self) -> dict[str, Any]:
        """What was kept of this extension's settings: a copy, by name."""
        return self._kept()

    def keep(self, values: dict[str, Any]) -> None:
        """Keep these settings of the extension, beside those kept before; None forgets one. They count from the next
        hook on. Raises SettingError for a value that its `Settings` do not allow."""
        self._keep(values)

    @property
    def model(self) -> str:
        """The loaded model's name, or ""."""
        state = self.app.supervisor.state
        return str(state.model) if state.phase == "ready" else ""

    @property
    def loader(self) -> str:
        """The name of the loader that runs it, or ""."""
        state = self.app.supervisor.state
        return str(state.loader) if state.phase == "ready" else ""

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens. Raises PaddockError where no model is loaded."""
        return list(self.app.supervisor.tokenize(text))

    def detokenize(self, tokens: list[int]) -> str:
        """The text of these tokens."""
        return str(self.app.supervisor.detokenize(tokens))

    def generate(self, prompt: str, **sampling: Any) -> str:
        """Continue a prompt with the loaded model; blocking. `sampling`: names of SamplingParams."""
        return "".join(self.stream(prompt, **sampling))

    def stream(self, prompt: str, **sampling: Any) -> Iterator[str]:
        """The same, in pieces as they arrive. Whoever stops reading stops the model."""
        generation = self.app.supervisor.generate(prompt, build(SamplingParams, sampling))
        try:
            yield from generation.follow()
        finally:
            if not generation.done:
                generation.cancel()
        if generation.error is not None:
            raise PaddockError(generation.error.message, detail=generation.error.detail)

    def probabilities(self, prompt: str, top: int = 20) -> list[dict[str, Any]]:
        """The likeliest next tokens: [{"token", "text", "probability"}]."""
        return list(self.app.supervisor.next_token_probabilities(prompt, top))
