"""The worker's loop: reads commands and sends events.

The reader thread reads each command at once, so Cancel takes effect while the engine is busy. The main thread runs
commands that need the engine for themselves, in order. Generations run in parallel if the engine has several slots.
Tokenizer commands and prompts of chats run on a small pool, so they do not wait for a reply to end.
"""

from __future__ import annotations

import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, cast

from modules.protocol.codec import decode_command
from modules.protocol.commands import (
    ApplyAdapter,
    Cancel,
    ChatPrompt,
    Command,
    Configure,
    Detokenize,
    Embed,
    Generate,
    Load,
    Merge,
    NextTokenProbabilities,
    Quantize,
    Rerank,
    Score,
    Start,
    Tokenize,
    Train,
    TryQuantize,
    Unload,
)
from modules.protocol.errors import PaddockError, ProtocolError, Unsupported
from modules.protocol.events import Chunk, Failed, Finished, Loaded, Log, ModelInfo, Progress, Result
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.model_facts import Projector
from modules.protocol.schema import build
from modules.worker.chat_prompts import ChatPrompts
from modules.worker.embeddings import embed
from modules.worker.engine import EngineBase, Report
from modules.worker.event_writer import EventWriter
from modules.worker.hook_host import HookModel
from modules.worker.hook_runner import Hooks
from modules.worker.malloc_trim import trim_heap_after
from modules.worker.quantizer import QuantizerBase
from modules.worker.reranking import rerank
from modules.worker.template_process import TemplateProcess
from modules.worker.thinking_budget import generate_within_budget
from modules.worker.trainer import TrainerBase
from modules.worker.uncached_modules import record_uncached_modules

_QUICK = (Tokenize, Detokenize, ChatPrompt, Configure)


class Server:
    """Serves one engine until Unload, or until the host has died. `quantizer` and `trainer` make the
    loader's Quantizer and Trainer."""

    def __init__(
        self,
        spec: LoaderSpec,
        engine: EngineBase,
        writer: EventWriter,
        quantizer: Callable[[], QuantizerBase] | None = None,
        trainer: Callable[[], TrainerBase] | None = None,
    ) -> None:
        self._spec = spec
        self._quantizer = quantizer
        self._trainer = trainer
        self._engine = engine
        self._writer = writer
        self._hooks = Hooks(writer.put, HookModel(engine, lambda: self._info))
        engine.hooks = self._hooks
        engine.pace = writer.pace
        self._templates = engine.templates = TemplateProcess()
        self._info: ModelInfo | None = None
        self._chats = ChatPrompts(engine, self._templates)
        self._work: queue.Queue[tuple[Callable[[Any], None], Command]] = queue.Queue()
        self._cancelled: dict[str, threading.Event] = {}
        # Generations whose prompt is ready and that wait for Start.
        self._prepared: dict[str, Generate] = {}
        self._quick = ThreadPoolExecutor(max_workers=2, thread_name_prefix="quick")
        self._slots = ThreadPoolExecutor(max_workers=64, thread_name_prefix="slot")

    def run(self, stdin: BinaryIO) -> None:
        """Serve until Unload. The end of `stdin` means that the host died: the process then ends at once."""
        threading.Thread(target=self._read, args=(stdin,), name="reader", daemon=True).start()
        while True:
            work, command = self._work.get()
            self._do(work, command)
            if isinstance(command, Unload):
                self._templates.close()
                return

    def _read(self, stdin: BinaryIO) -> None:
        for line in stdin:
            try:
                self._dispatch(decode_command(line))
            except ProtocolError as error:
                self._writer.put(Log("error", error.message))
        # The host has died, so remove the folder that it made for this worker.
        if (place := Path(tempfile.gettempdir())).name.startswith("paddock-worker-"):
            shutil.rmtree(place, ignore_errors=True)
        # End processes that the engine started too, such as a compiler. A worker that was started by hand shares its
        # process group with other programs.
        if sys.platform != "win32" and os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(0)

    def _dispatch(self, command: Command) -> None:
        if isinstance(command, Cancel):
            self._cancel(command.id)
        elif isinstance(command, Start):
            self._start(command.id)
        elif isinstance(command, _QUICK):
            self._quick.submit(self._do, self._answer, command)
        elif isinstance(command, Generate):
            self._cancelled[command.id] = threading.Event()
            if not command.messages and command.start:
                self._enqueue(command)
            elif self._info:
                self._quick.submit(self._do, self._prepare, command)
            else:  # A load is running, or no model was loaded.
                self._work.put((self._prepare, command))
        else:
            self._work.put((self._load if isinstance(command, Load) else self._answer, command))

    def _enqueue(self, request: Generate) -> None:
        """Let the engine work on a request as soon as it has a free slot."""
        if self._info and self._info.slots > 1:
            self._slots.submit(self._do, self._generate, request)
        else:
            self._work.put((self._generate, request))

    def _do(self, work: Callable[[Any], None], command: Command) -> None:
        try:
            work(command)
            return
        except PaddockError as error:
            failed = Failed(command.id, error.code, error.message, error.detail, list(error.lower))
        except MemoryError:
            failed = Failed(command.id, "memory", _NO_MEMORY, traceback.format_exc())
        except Exception as error:
            message = f"{self._spec.title} failed: {type(error).__name__}: {error}. The log has the details."
            failed = Failed(command.id, "error", message, traceback.format_exc())
        self._cancelled.pop(command.id, None)
        self._writer.put(failed)

    def _prepare(self, command: Generate) -> None:
        """Make the prompt of a chat. The engine then begins, or waits for Start."""
        request, prompted = self._chats.prepare(command, self._loaded())
        if command.start:
            self._writer.put(prompted)
            self._enqueue(request)
            return
        # Before Prompted, because the host may answer it with Start at once.
        self._prepared[command.id] = request
        self._writer.put(prompted)
        if (cancelled := self._cancelled.get(command.id)) and cancelled.is_set():
            self._cancel(command.id)

    def _start(self, id: str) -> None:
        request = self._prepared.pop(id, None)
        if request is None:
            self._writer.put(Log("warning", f"There is no prepared generation {id!r} to start."))
        else:
            self._enqueue(request)

    def _cancel(self, id: str) -> None:
        if cancelled := self._cancelled.get(id):
            cancelled.set()
        if self._prepared.pop(id, None) is not None:
            self._cancelled.pop(id, None)
            self._writer.put(Finished(id, "cancelled"))

    def _load(self, command: Load) -> None:
        begin = time.monotonic()
        settings = build(self._spec.settings, command.settings)
        self._engine.projectors = tuple(Projector(**values) for values in command.projectors)
        self._engine.purpose = command.purpose
        with trim_heap_after():
            self._info = self._engine.load(Path(command.path), settings, self._reporter(command.id))
        record_uncached_modules()
        self._writer.put(Loaded(command.id, self._info, time.monotonic() - begin))

    def _quantize(self, command: Quantize | TryQuantize) -> object:
        method = next((method for method in self._spec.quantizers if method.name == command.method), None)
        if method is None or self._quantizer is None:
            raise Unsupported(f"{self._spec.title} does not quantize by {command.method!r}. Choose another method.")
        settings = build(method.settings, command.settings)
        if isinstance(command, TryQuantize):
            trial = self._quantizer().trial(command, settings)
            return None if trial is None else vars(trial)
        return vars(self._quantizer().quantize(command, settings, self._reporter(command.id)))

    def _train(self, command: Train | Merge) -> dict[str, object]:
        if self._spec.training is None or self._trainer is None:
            raise Unsupported(f"{self._spec.title} does not train. Choose the Transformers loader.")
        report = self._reporter(command.id)
        if isinstance(command, Merge):
            return vars(self._trainer().merge(command, report))
        settings = build(self._spec.training, command.settings)
        return vars(self._trainer().train(command, settings, report))

    def _reporter(self, id: str) -> Report:
        """Return the function that sends the progress of the command `id`."""
        return lambda text, fraction: self._writer.put(Progress(id, text, fraction))

    def _generate(self, request: Generate) -> None:
        with self._writer.pace.reply():
            self._send_reply(request)

    def _send_reply(self, request: Generate) -> None:
        template = request.template or self._loaded().template
        pieces = generate_within_budget(self._engine, request, self._cancelled[request.id], template)
        while True:
            try:
                piece = next(pieces)
            except StopIteration as end:
                if self._hooks:
                    self._hooks.flush()
                self._cancelled.pop(request.id, None)
                self._writer.put(Finished(request.id, **vars(end.value)))
                return
            self._writer.put(Chunk(request.id, piece.text, piece.tokens, list(piece.logprobs)))

    def _answer(self, command: Command) -> None:
        """Send the Result of a command that has one value."""
        self._writer.put(Result(command.id, self._value(command)))

    def _value(self, command: Command) -> Any:
        engine = self._engine
        if isinstance(command, Unload):
            return engine.unload()
        if isinstance(command, Configure):
            return self._hooks.configure(command.hooks)
        if isinstance(command, (Quantize, TryQuantize)):
            return self._quantize(command)
        if isinstance(command, (Train, Merge)):
            return self._train(command)
        info = self._loaded()
        if isinstance(command, Tokenize):
            return engine.tokenize(command.text, command.special)
        if isinstance(command, Detokenize):
            if command.apart:
                return [list(engine.token_bytes(token)) for token in command.tokens]
            return engine.detokenize(command.tokens)
        if isinstance(command, ChatPrompt):
            return vars(self._chats.render(command, info, command.messages))
        if isinstance(command, NextTokenProbabilities):
            return engine.next_token_probabilities(command.prompt, command.top)
        if isinstance(command, Embed):
            return embed(engine, command.inputs)
        if isinstance(command, Rerank):
            return rerank(engine, command.query, command.documents)
        if isinstance(command, Score):
            return engine.score(command.tokens, command.first, Path(command.file))
        return engine.apply_adapter(cast(ApplyAdapter, command).adapters)

    def _loaded(self) -> ModelInfo:
        if self._info is None:
            raise PaddockError("No model is loaded in this worker. Load one first.")
        return self._info


_NO_MEMORY = "The machine's memory ran out. Lower the context length, or choose a smaller model."
