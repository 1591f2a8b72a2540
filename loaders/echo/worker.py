"""The fake engine. `!crash`, `!exit`, `!memory` or `!hang` in a prompt causes that fault after five words."""

from __future__ import annotations

import hashlib
import math
import os
import re
import signal
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Generator, Sequence
from itertools import cycle, islice
from pathlib import Path

from loaders.echo.spec import Settings
from modules.families.audio_file import MP3, WAV, audio_format
from modules.protocol.commands import Generate
from modules.protocol.errors import ModelError, OutOfMemory, PromptError
from modules.protocol.events import ModelInfo, ReplyLogprob, RerankResult, ScoreResult
from modules.worker.embeddings import unknown_token_error
from modules.worker.engine import EngineBase, Outcome, Piece, Report
from modules.worker.reranking import long_query_error
from modules.worker.stop_strings import StopFilter
from modules.worker.token_logprobs import logprob_entry
from modules.worker.truncation import fit_prompt

_LOWER = ("context",)


class Engine(EngineBase):
    """A token is a word with the space before it. The reply is the prompt's last line; endless with `!long`. An image
    or a sound is a word: the beginning of its SHA-256."""

    image_mark = "<image>"
    audio_mark = "<audio>"

    def __init__(self) -> None:
        self._settings = Settings()
        self._words: list[str] = []
        self._cached: list[int] = []
        self._adapters: dict[str, float] = {}
        self._lock = threading.Lock()

    def load(self, path: Path, settings: Settings, report: Report) -> ModelInfo:
        self._settings = settings
        for step in range(1, 5):
            report("Pretending to load", step / 4)
        if settings.on_load == "refuse":
            raise ModelError("The echo loader refuses, as While loading says. Set it to reply.")
        self._misbehave(settings.on_load)
        return ModelInfo(
            context=settings.context,
            trained_context=settings.context,
            slots=settings.slots,
            architecture="echo",
            sees_images=settings.sees_images,
            audio_formats=[WAV, MP3] if settings.hears else [],
        )

    def tokenize(self, text: str, special: bool) -> list[int]:
        found = []
        with self._lock:
            for word in re.findall(r"\s*\S+|\s+$", text):
                if word not in self._words:
                    self._words.append(word)
                found.append(self._words.index(word))
        return found

    def apply_adapter(self, adapters: dict[str, float]) -> None:
        """Apply adapters. A reply then starts with their names and weights."""
        for path in adapters:
            if Path(path).name == "refused":
                raise ModelError(
                    f"The echo loader refuses {Path(path).name}, as its name asks. Choose another adapter."
                )
        self._adapters = adapters

    def detokenize(self, tokens: list[int]) -> str:
        if max(tokens, default=0) >= len(self._words):
            raise unknown_token_error()
        return "".join(self._words[token] for token in tokens)

    def generate(self, request: Generate, cancelled: threading.Event) -> Generator[Piece, None, Outcome]:
        params = request.params
        begin = time.monotonic()
        prompt = _with_media(request.prompt, request.media)
        tokens, cut = fit_prompt(
            self.tokenize(prompt, True), self._settings.context, params.max_new_tokens, params.truncate, 0
        )
        common = len(os.path.commonprefix([tokens, self._cached]))
        self._cached = tokens
        prefill = time.monotonic()
        lines = [line for line in re.split(r"<\|im_\w+\|>(?:\w+\n)?|\n", prompt) if line.strip()]
        words = re.findall(r"\s*\S+", lines[-1]) if lines else ["..."]
        words = [f"[{Path(path).name} {weight:g}] " for path, weight in self._adapters.items()] + words
        if "!error" in prompt:
            raise PromptError("The echo loader fails, as the prompt says. Remove !error from it.")
        endless = "!long" in prompt or params.ban_eos_token
        stop = StopFilter(params.stop)
        reason, count = "stop", 0
        for word in cycle([*words[:-1], f"{words[-1]} "]) if endless else islice(words, None):
            # A reply that will hang also ignores Stop before that.
            if cancelled.is_set() and "!hang" not in prompt:
                reason = "cancelled"
                break
            if count >= params.max_new_tokens:
                reason = "length"
                break
            if len(tokens) + count >= self._settings.context:
                reason = "context"
                break
            count += 1
            if count == 5:
                for behaviour in ("crash", "exit", "memory", "hang"):
                    if f"!{behaviour}" in prompt:
                        self._misbehave(behaviour)
            yield Piece(stop.feed(word), logprobs=self._logprobs(word, request.logprobs))
            if stop.stopped:
                reason = "stop_text"
                break
            cancelled.wait(self._settings.delay)
        if not stop.stopped and (rest := stop.flush()):
            yield Piece(rest, 0)
        now = time.monotonic()
        return Outcome(reason, len(tokens), common, cut, count, prefill - begin, now - prefill, max(params.seed, 0))

    def _logprobs(self, word: str, count: int) -> tuple[ReplyLogprob, ...]:
        """Return the entry of a word: its probability is 1/2, and that of each further word half of the one before."""
        if count < 0:
            return ()
        token = self.tokenize(word, False)[0]
        others = [token, *(other for other in range(len(self._words)) if other != token)][:count]
        top = [(other, -(place + 1) * math.log(2)) for place, other in enumerate(others)]
        return (logprob_entry(token, -math.log(2), top, lambda token: self._words[token].encode()),)

    def rerank(self, query: str, documents: list[str]) -> RerankResult:
        """Return the share of the query's words that is in each document. What exceeds the context is cut."""
        asked, room = set(query.split()), self._settings.context - len(query.split())
        if room < 1:
            raise long_query_error(len(query.split()), self._settings.context)
        words = [document.split() for document in documents]
        cut = [place for place, found in enumerate(words) if len(found) > room]
        read = [found[:room] for found in words]
        scores = [len(asked & set(found)) / len(asked) for found in read]
        return RerankResult(scores, sum(len(found) + len(query.split()) for found in read), cut)

    def score(self, tokens: list[int], first: int, file: Path) -> ScoreResult:
        rows = array("f")
        for token in tokens[first:]:
            rows.extend(float(other == token) for other in range(len(self._words)))
        file.write_bytes(rows.tobytes())
        return {"rows": len(tokens) - first, "vocabulary": len(self._words), "seconds": 0.0}

    def _misbehave(self, behaviour: str) -> None:
        if behaviour == "crash":
            # In this thread, as for a real fault. A signal to the process may reach another thread later.
            signal.raise_signal(signal.SIGSEGV)
        elif behaviour == "exit":
            os._exit(3)
        elif behaviour == "memory":
            raise OutOfMemory("Not enough memory for this context. Lower Context length.", lower=_LOWER)
        elif behaviour == "hang":
            threading.Event().wait()
        elif behaviour == "child":
            # Like an engine that runs a compiler.
            subprocess.Popen([sys.executable, "-c", "import threading; threading.Event().wait()"])


def _with_media(prompt: str, media: Sequence[str]) -> str:
    """Return the prompt with the names of its images and sounds in place of their marks. Raises PromptError."""
    texts = re.split(f"{Engine.image_mark}|{Engine.audio_mark}", prompt) if media else [prompt]
    try:
        names = [f"{_kind(path)}-{hashlib.sha256(Path(path).read_bytes()).hexdigest()[:8]}" for path in media]
    except OSError as error:
        raise PromptError(f"A file cannot be read ({error.strerror}). Attach it again.") from None
    return "".join(text + name for text, name in zip(texts, [*names, ""], strict=True))


def _kind(path: str) -> str:
    return "audio" if audio_format(path) in (WAV, MP3) else "image"
