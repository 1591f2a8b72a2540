"""A loader's worker process with the demo model in it, driven as the host drives it."""

from __future__ import annotations

import getpass
import tempfile
import threading
from pathlib import Path
from typing import Any

from modules.generation.generation import Generation
from modules.protocol.commands import ChatPrompt, Command
from modules.protocol.events import Finished, ModelInfo
from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.sampling import SamplingParams
from modules.runtime.sandbox_paths import sandbox_variables
from modules.runtime.worker_client import WorkerClient
from modules.runtime.worker_exit import WorkerExit
from tests.support.quantize import quantized

ROOT = Path(__file__).resolve().parent.parent.parent
# No reply of the demo model takes this long, on the slowest machine.
SECONDS = 240.0
QUESTION = "What is GGUF?"


# Loader -> the highest temperature that it takes, where that is below Paddock's.
_HOTTEST = {"vllm": 2.0}
_REMOTE = ROOT / ".test-models" / "demo.remote.yaml"
# Format -> how tests.support.quantize makes it.
_PACKED = {"gptq": "gptq", "awq": "awq", "hqq": "hqq_transformers"}


def demo_model(spec: LoaderSpec) -> Path:
    """The demo model in the first format that the loader names; quantized formats are made at first use."""
    if spec.name == "remote":
        return _REMOTE
    if kind := _PACKED.get(spec.formats[0]):
        return quantized(kind)
    return ROOT / "models" / ("demo.Q8_0.gguf" if spec.formats[0] == "gguf" else "demo")


def write_remote(address: str) -> None:
    """The remote loader's model: a file that names a server. Half of it, or its head alone, names none."""
    _REMOTE.parent.mkdir(exist_ok=True)
    _REMOTE.write_text(
        f"# The demo model on a server that runs while the contract is tested{'.' * 60}\naddress: {address}\n"
    )


def _readable() -> list[Path]:
    """Where tests keep models, adapters and hooks."""
    return [ROOT / "models", ROOT / ".test-models", Path(tempfile.gettempdir(), f"pytest-of-{getpass.getuser()}")]


class UnderTest:
    """One worker. `progress`: what was reported during the load; `exits`: how it ended."""

    def __init__(self, spec: LoaderSpec, python: Path) -> None:
        self.spec = spec
        self.progress: list[tuple[str, float | None]] = []
        self.exits: list[WorkerExit] = []
        # As the host starts it, with a sandbox where the kernel has one.
        confined = sandbox_variables(demo_model(spec), _readable(), [])
        self.client = WorkerClient(spec, python, ROOT, self.exits.append, lambda event: None, **confined)
        self.client.start()
        self.info = ModelInfo(0)

    def load(self, path: Path, **settings: Any) -> ModelInfo:
        """Load a model; raises what the worker says."""
        loaded = self.client.load(str(path), settings, lambda text, part: self.progress.append((text, part)))
        # As the host does, so that the next worker of a loader starts faster.
        self.client.process.compile_bytecode()
        self.info = loaded.info
        return loaded.info

    def ask(self, kind: type[Any], *arguments: Any) -> Any:
        """The answer to a command of that class."""
        command: Command = kind(self.client.next_id(), *arguments)
        return self.client.ask(command, timeout=SECONDS)

    def chat(self, *contents: str) -> str:
        """The prompt of a chat in which user and assistant speak in turn."""
        roles = ("user", "assistant")
        messages = [{"role": roles[index % 2], "content": text} for index, text in enumerate(contents)]
        return str(self.ask(ChatPrompt, messages)["prompt"])

    def begin(self, prompt: str, **params: Any) -> Generation:
        """Begin a generation."""
        given = {"max_new_tokens": 24, **params}
        if (hottest := _HOTTEST.get(self.spec.name)) and "temperature" in given:
            given["temperature"] = min(given["temperature"], hottest)
        return self.client.generate(prompt, SamplingParams(**given))

    def finish(self, generation: Generation) -> Finished:
        """Its end. Raises its error."""
        assert generation.wait(SECONDS), "the generation did not end"
        if generation.error is not None:
            raise generation.error
        assert generation.finished is not None
        return generation.finished

    def generate(self, prompt: str, **params: Any) -> tuple[str, Finished]:
        """(text, end) of a whole generation."""
        generation = self.begin(prompt, **params)
        end = self.finish(generation)
        return generation.text, end

    def text(self, prompt: str, **params: Any) -> str:
        """The text of a whole generation."""
        return self.generate(prompt, **params)[0]

    def greedy(self, prompt: str, **params: Any) -> str:
        """The text that always takes the likeliest token."""
        return self.text(prompt, do_sample=False, **params)


def wait_for_tokens(generation: Generation, count: int) -> None:
    """Return as soon as `count` tokens have arrived, or it has ended."""
    reached = threading.Event()

    def look() -> None:
        if generation.tokens >= count or generation.done:
            reached.set()

    unsubscribe = generation.on_change(look)
    look()
    try:
        assert reached.wait(SECONDS), f"{generation.tokens} of {count} tokens came"
    finally:
        unsubscribe()
