"""A loader's worker process with the demo model, used as the host uses it."""

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
# Seconds. No reply of the demo model takes this long, even on a slow machine.
SECONDS = 240.0
QUESTION = "What is GGUF?"


# Loader -> the highest temperature that it accepts, if below Paddock's.
_HOTTEST = {"vllm": 2.0}
_REMOTE = ROOT / ".test-models" / "demo.remote.yaml"
# Format -> kind of tests.support.quantize.
_PACKED = {"gptq": "gptq", "awq": "awq", "hqq": "hqq_transformers", "exl3": "exl3"}


def demo_model(spec: LoaderSpec) -> Path:
    """Return the demo model in the first format that the loader names. Quantized formats are made at the first use."""
    if spec.name == "remote":
        return _REMOTE
    if kind := _PACKED.get(spec.formats[0]):
        return quantized(kind)
    return ROOT / "models" / ("demo.Q8_0.gguf" if spec.formats[0] == "gguf" else "demo")


def write_remote(address: str) -> None:
    """Write the remote loader's model: a file that names a server. Half of the file names none."""
    _REMOTE.parent.mkdir(exist_ok=True)
    _REMOTE.write_text(
        f"# The demo model on a server that runs while the contract is tested{'.' * 60}\naddress: {address}\n"
    )


def _readable() -> list[Path]:
    """Return the folders in which tests keep models, adapters and hooks; the last is that of pytest's tmp_path."""
    return [ROOT / "models", ROOT / ".test-models", Path(tempfile.gettempdir(), f"pytest-of-{getpass.getuser()}")]


class UnderTest:
    """One worker. `progress`: the reports of the load; `exits`: how it ended."""

    def __init__(self, spec: LoaderSpec, python: Path) -> None:
        self.spec = spec
        self.progress: list[tuple[str, float | None]] = []
        self.exits: list[WorkerExit] = []
        # Start it as the host does, with a sandbox if the kernel supports one.
        confined = sandbox_variables(demo_model(spec), _readable(), _readable()[-1:])
        self.client = WorkerClient(spec, python, ROOT, self.exits.append, lambda event: None, **confined)
        self.client.start()
        self.info = ModelInfo(0)

    def load(self, path: Path, **settings: Any) -> ModelInfo:
        """Load a model. Raise the worker's error."""
        loaded = self.client.load(str(path), settings, lambda text, part: self.progress.append((text, part)))
        # Compile as the host does, so that the loader's next worker starts faster.
        self.client.process.compile_bytecode()
        self.info = loaded.info
        return loaded.info

    def ask(self, kind: type[Any], *arguments: Any) -> Any:
        """Send a command of this class and return the answer."""
        command: Command = kind(self.client.next_id(), *arguments)
        return self.client.ask(command, timeout=SECONDS)

    def chat(self, *contents: str) -> str:
        """Return the prompt of a chat with alternating messages of user and assistant."""
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
        """Wait for the end of the generation and return it. Raise its error."""
        assert generation.wait(SECONDS), "the generation did not end"
        if generation.error is not None:
            raise generation.error
        assert generation.finished is not None
        return generation.finished

    def generate(self, prompt: str, **params: Any) -> tuple[str, Finished]:
        """Generate, and return (text, end)."""
        generation = self.begin(prompt, **params)
        end = self.finish(generation)
        return generation.text, end

    def text(self, prompt: str, **params: Any) -> str:
        """Generate, and return the text."""
        return self.generate(prompt, **params)[0]

    def greedy(self, prompt: str, **params: Any) -> str:
        """Generate with the likeliest tokens, and return the text."""
        return self.text(prompt, do_sample=False, **params)


def wait_for_tokens(generation: Generation, count: int) -> None:
    """Wait until `count` tokens have arrived, or the generation has ended."""
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
