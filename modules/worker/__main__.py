"""Run a worker: `python -m modules.worker LOADER`. Messages are JSON, one per line, on stdin and stdout."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import BinaryIO

from modules.protocol.events import Ready
from modules.system.code_allowlist import CodeAllowlist
from modules.system.loader_import import import_loader_module, make_paddock_importable
from modules.worker.code_guard import enter_empty_folder, forbid_model_code, set_model_code_cache
from modules.worker.engine import NoEngine
from modules.worker.event_writer import EventWriter
from modules.worker.sandbox import harden
from modules.worker.serve import Server


def take_stdout() -> BinaryIO:
    """Return the real stdout, for messages only, and redirect file descriptor 1 to stderr.

    Output of libraries, in Python or in C, then cannot break the stream of messages.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(kept, "wb", buffering=0)


def _own_loader(root: Path) -> Path | None:
    """Return the folder of a user's own loader, or None. Only files that the user agreed to can be imported from it."""
    if not (named := os.environ.pop("PADDOCK_OWN_LOADER", "")):
        return None
    make_paddock_importable(root)
    agreed = json.loads(named)
    folder = Path(agreed["folder"])
    CodeAllowlist().allow(folder, agreed["files"])
    return folder


def main(loader: str) -> None:
    """Serve the engine of one loader until Unload."""
    harden()
    writer = EventWriter(take_stdout())
    # Threads of torch and llama.cpp wait for each other at every layer. They spin this many times, then sleep. libgomp
    # reads this when the engine is imported. Fewer spins are faster on busy cores (docs/benchmarks.md).
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "300000")
    root = Path(__file__).resolve().parent.parent.parent
    own = enter_empty_folder(root, ("modules", "loaders"))
    if os.environ.get("PADDOCK_TRUST_REMOTE_CODE") == "1":
        set_model_code_cache(own)
    else:
        forbid_model_code(own)
    folder = _own_loader(root)
    spec = import_loader_module(loader, "spec", folder).SPEC
    engine = NoEngine() if spec.only_quantizes else import_loader_module(loader, "worker", folder).Engine()
    writer.put(Ready(loader))
    quantizer = (lambda: import_loader_module(loader, "quantizer", folder).Quantizer()) if spec.quantizers else None
    trainer = (lambda: import_loader_module(loader, "trainer", folder).Trainer()) if spec.training else None
    Server(spec, engine, writer, quantizer, trainer).run(sys.stdin.buffer)
    writer.close()
    os.chdir(own.parent)
    shutil.rmtree(own, ignore_errors=True)
    # All events are sent. Skip the destructors of libraries, in which threads of engines may hang.
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
