"""A reply in progress: an append-only buffer in the host that any number of readers follow."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence

from modules.protocol.errors import PaddockError
from modules.protocol.events import Finished, Prompted, ReplyLogprob
from modules.protocol.sampling import SamplingParams
from modules.system.listeners import Listeners


class Generation:
    """One reply in progress. Thread-safe. The reader of the worker calls `feed`, `finish` and `fail`.

    `opening`: the start of the text, which is already part of the prompt. `revised`: the final text, if hooks replaced
    what had arrived; else None. `error`: why it failed; the text that had arrived stays. `hooks`: extensions' hooks in
    the worker run for it. `client`: the API client that asked for it, "" for the page. `logprobs`: the entries of
    Chunk.logprobs that have arrived; `top_logprobs`: what Generate asks for them.
    """

    def __init__(
        self,
        id: str,
        prompt: str,
        params: SamplingParams,
        cancel: Callable[[str], None],
        hooks: bool = True,
        opening: str = "",
        client: str = "",
        top_logprobs: int = -1,
    ) -> None:
        self.id = id
        self.prompt = prompt
        self.params = params
        self.hooks = hooks
        self.client = client
        # The name of the model that writes it.
        self.model = ""
        self.top_logprobs = top_logprobs
        self.logprobs: list[ReplyLogprob] = []
        self.tokens = 0
        self.created = time.monotonic()
        self.first_token_seconds: float | None = None
        self.finished: Finished | None = None
        self.error: PaddockError | None = None
        self.revised: str | None = None
        # Of a chat whose prompt the worker made: what the worker said of it.
        self.prompted: Prompted | None = None
        # Characters to read, which say how long the first token may take.
        self.prompt_length = len(prompt)
        self._cancel = cancel
        self._pieces: list[str] = []
        self._joined = opening
        self._length = self._opened = len(opening)
        self._changed = threading.Condition()
        self._listeners: Listeners[Callable[[], None]] = Listeners()

    @property
    def done(self) -> bool:
        """True once it has ended."""
        return self.finished is not None or self.error is not None

    @property
    def empty_reply_note(self) -> str:
        """A sentence if the engine ended the reply without any text, else ""."""
        finished = self.finished
        if finished is None or self._length > self._opened or finished.reason in ("cancelled", "stop_text"):
            return ""
        if finished.reason != "stop" and not finished.generated_tokens:  # No tokens were requested.
            return ""
        if finished.generated_tokens > 1:
            return (
                f"The model wrote no text: all of its {finished.generated_tokens} tokens are hidden, such as "
                "special tokens. Check that the model is made for chats and that its chat template fits."
            )
        return "The model ended its reply at once, without any text. Rephrase the message, or check the chat template."

    @property
    def text(self) -> str:
        """The text that has arrived."""
        with self._changed:
            if self._pieces:
                self._joined += "".join(self._pieces)
                self._pieces.clear()
            return self._joined

    @property
    def final_text(self) -> str:
        """The revised text if there is one, else the text that has arrived."""
        return self.text if self.revised is None else self.revised

    @property
    def length(self) -> int:
        """The number of characters that have arrived."""
        return self._length

    def follow(self, offset: int = 0, gather: float = 0.05) -> Iterator[str]:
        """Yield new text from character `offset` until the end. Text within `gather` seconds comes as one piece."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda seen=offset: self._length > seen or self.done)  # type: ignore[misc]
                ended = self.done
                if not ended and gather:
                    self._changed.wait_for(lambda: self.done, gather)
                    ended = self.done
            if fresh := self.text[offset:]:
                offset += len(fresh)
                yield fresh
            if ended:
                return

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end. Return False if `timeout` seconds pass first."""
        with self._changed:
            return self._changed.wait_for(lambda: self.done, timeout)

    def cancel(self) -> None:
        """Stop this generation. It ends with reason "cancelled" and keeps its text."""
        self._cancel(self.id)

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` at each arrival of text and at the end, on another thread. Return a function to unsubscribe.

        If the generation has ended, `callback` is called at once.
        """
        with self._changed:
            unsubscribe = self._listeners.add(callback)
            ended = self.done
        if ended:
            callback()
        return unsubscribe

    def feed(self, text: str, tokens: int, logprobs: Sequence[ReplyLogprob] = ()) -> None:
        """Append text that arrived, and the log-probabilities of its tokens."""
        with self._changed:
            if self.first_token_seconds is None:
                self.first_token_seconds = time.monotonic() - self.created
            self._pieces.append(text)
            self._length += len(text)
            self.tokens += tokens
            self.logprobs += logprobs
        self._notify()

    def finish(self, finished: Finished) -> None:
        """End it: the engine has finished."""
        with self._changed:
            self.finished = finished
            self.tokens = finished.generated_tokens
        self._notify()

    def fail(self, error: PaddockError) -> None:
        """End it with an error, unless it has ended."""
        with self._changed:
            if not self.done:
                self.error = error
        self._notify()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self._listeners.notify()
