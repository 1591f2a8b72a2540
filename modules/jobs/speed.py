"""How fast a model reads and writes, and the most memory that it holds, in a load with its usual settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modules.jobs.job_run import JobRun
from modules.jobs.resources import JobResources
from modules.protocol.commands import Detokenize, Tokenize
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import changed_values
from modules.runtime.load_request import LoadRequest
from modules.runtime.memory_watch import MemoryWatch

_PROMPT_TOKENS, _NEW_TOKENS = 512, 64


def measure_speed(request: LoadRequest, text: str, run: JobRun, resources: JobResources) -> dict[str, Any]:
    """Return tokens a second of reading and of writing, seconds of the load, and the peak of memory in bytes.

    Also the bytes and the type of the weights in memory, and the kernel that multiplies them ("": not known)."""
    path = Path(request.facts.path)
    with run.worker(request.spec, path, variables=request.variables) as client:
        watch = MemoryWatch(client.process.pid, request.facts.path)
        try:
            run.report(f"Loading {request.facts.name} with its usual settings")
            loaded = client.load(request.facts.path, changed_values(request.settings), lambda text, fraction: None)
            watch.record_load()
            tokens = list(client.ask(Tokenize(client.next_id(), text, False)))
            room = max(16, min(_PROMPT_TOKENS, loaded.info.context - _NEW_TOKENS - 16))
            prompt = str(client.ask(Detokenize(client.next_id(), tokens[:room])))
            warm_up = str(client.ask(Detokenize(client.next_id(), tokens[-32:])))
            run.report("Measuring the speed", 0.5)
            _generate(client, warm_up, 4)
            finished = _generate(client, prompt, _NEW_TOKENS)
            peak = watch.usage()[1]
        finally:
            watch.close()
    read = finished.prompt_tokens - finished.cached_tokens
    return {
        "load_seconds": round(loaded.seconds, 2),
        "peak_bytes": peak or None,
        "weights_bytes": loaded.info.memory_bytes or None,
        "weights_dtype": loaded.info.dtype,
        "kernel": loaded.info.kernel,
        "prefill_tokens_per_second": _rate(read, finished.prefill_seconds),
        "decode_tokens_per_second": _rate(finished.generated_tokens, finished.decode_seconds),
    }


def _generate(client: Any, prompt: str, count: int) -> Any:
    params = SamplingParams(max_new_tokens=count, temperature=0, do_sample=False, ban_eos_token=True)
    generation = client.generate(prompt, params)
    generation.wait()
    if generation.error is not None:
        raise generation.error
    return generation.finished


def _rate(tokens: int, seconds: float) -> float | None:
    return round(tokens / seconds, 2) if seconds > 0 and tokens > 0 else None
