"""Classifies how a worker ended: the cause, if it is known, and a sentence with the next step."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass
from pathlib import Path

from modules.protocol.errors import PaddockError

_NO_MEMORY = re.compile(
    r"out[ _]of[ _]((device|host)[ _])?memory|OutOf(Device|Host)?Memory|cannot allocate memory|bad_alloc|MemoryError|"
    r"failed to allocate|memory allocation of size \d+ failed|ALLOC_FAILED|ErrorMemoryAllocation",
    re.IGNORECASE,
)
# What CUDA, ROCm and Vulkan call themselves in such a line.
_CARD = re.compile(r"cuda|cublas|rocm|\bhip|hsa_|\bvk(::|_)|vulkan|device[ _]?memory", re.IGNORECASE)
_CGROUP_EVENTS = Path("/sys/fs/cgroup/memory.events")


class WorkerDied(PaddockError):
    """The worker process ended during a load, a reply or another command."""

    code = "died"


@dataclass(frozen=True)
class WorkerExit:
    """How a worker ended.

    `cause`: "unloaded" (requested), "stuck" (killed by the host because it did not stop a reply), "node" (killed by the
    host because another machine of its model was lost), "memory", "killed", "crashed" or "ended".
    """

    cause: str
    status: int
    sentence: str
    stderr: tuple[str, ...] = ()

    def error(self, lower: tuple[str, ...] = ()) -> WorkerDied:
        """Return the error for those who wait for an answer. It names settings to `lower` only if memory ran out."""
        return WorkerDied(self.sentence, detail="\n".join(self.stderr), lower=lower if self.cause == "memory" else ())


def out_of_memory_kills() -> int:
    """Return how often the kernel killed a process of this control group for memory; 0 if it does not say."""
    try:
        found = re.search(r"^oom_kill (\d+)", _CGROUP_EVENTS.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def classify(
    title: str,
    status: int,
    stderr: tuple[str, ...],
    *,
    intended: bool,
    kernel_kills: int,
    fault: str = "",
    killed: tuple[str, str] = ("", ""),
) -> WorkerExit:
    """Return the typed exit of a worker.

    `status`: the exit status, negative for a signal. `intended`: the host asked it to end. `kernel_kills`: kills for
    memory that the kernel counted during its life. `fault`: why the host killed it, or "". `killed`: the same with its
    cause. The cause is never guessed.
    """
    if intended:
        return WorkerExit("unloaded", status, f"{title} was unloaded.", stderr)
    if killed[0]:
        return WorkerExit(killed[0], status, killed[1], stderr)
    if fault:
        return WorkerExit("ended", status, fault, stderr)
    again = "Load the model again to continue."
    if kernel_kills > 0 and status == -9:
        sentence = (
            f"The system ended {title} because memory ran out. The text so far is kept. Lower the context length or "
            "the GPU layers, or choose a smaller model, and load again."
        )
        return WorkerExit("memory", status, sentence, stderr)
    without = [line for line in stderr[-40:] if _NO_MEMORY.search(line)]
    if any(map(_CARD.search, without)):
        sentence = (
            f"{title} ended because the graphics card's memory ran out. The text so far is kept. Close other programs "
            "that use the card, lower the context length, or choose a smaller model, and load again."
        )
        return WorkerExit("memory", status, sentence, stderr)
    if without:
        sentence = (
            f"{title} ended because memory ran out. The text so far is kept. Lower the context length, or choose a "
            "smaller model, and load again."
        )
        return WorkerExit("memory", status, sentence, stderr)
    if status < 0:
        name = _signal_name(-status)
        if name == "SIGKILL":
            sentence = (
                f"{title} was killed by another process (SIGKILL), by a user or by a system short of memory. The "
                f"text so far is kept. {again} If memory was short, lower the context length first."
            )
            return WorkerExit("killed", status, sentence, stderr)
        sentence = f"{title} crashed ({name}). The text so far is kept. {again} Its last output is in the details."
        return WorkerExit("crashed", status, sentence, stderr)
    sentence = f"{title} exited with status {status}. The text so far is kept. {again}"
    return WorkerExit("ended", status, sentence, stderr)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
