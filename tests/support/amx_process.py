"""Start vLLM's worker for the CPU in a spawned process: `python -m tests.support.amx_process`.

Run it with the Python of the loader vllm. Prints "asked" once for each time that the process asked for AMX. vLLM's own
part of the worker ends at once, since there is no configuration.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
from pathlib import Path
from typing import Any


def start_worker(name: str) -> None:
    """Make a worker as vLLM does (v1/worker/worker_base.py), with a recorder in torch's place."""
    torch: Any = importlib.import_module("torch")
    torch.cpu._init_amx = lambda: print("asked", flush=True)
    kind = importlib.import_module("vllm.utils.import_utils").resolve_obj_by_qualname(name)
    assert kind.__mro__[1].__qualname__ == "CPUWorker" and "loaders" not in sys.modules
    try:
        kind(vllm_config=None, local_rank=0, rank=0, distributed_init_method="")
    except (AttributeError, TypeError):
        os._exit(0)


def main() -> None:
    """Spawn the process."""
    engine_args, spec = (importlib.import_module(f"loaders.vllm.{name}") for name in ("engine_args", "spec"))
    os.environ.update(engine_args.ENVIRONMENT)
    arguments = engine_args.engine_arguments(Path("m"), spec.Settings(), {}, 256, cpu=True)
    engine_args.make_importable(arguments)
    process = multiprocessing.get_context("spawn").Process(target=start_worker, args=(arguments["worker_cls"],))
    process.start()
    process.join()


if __name__ == "__main__":
    main()
