"""Run llama.cpp's server for the remote loader's tests: `python llama_server.py FILE [CONTEXT THREADS]`.

Run it with the Python of xllamacpp's environment. It prints its address, and exits when its stdin is closed.
"""

from __future__ import annotations

import importlib
import os
import sys


def main(path: str, context: str = "2048", threads: str = "-1") -> None:
    """Serve the model at `path` until stdin is closed."""
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_ctx, params.n_parallel, params.kv_unified = int(context), 2, True
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.verbosity = 1
    params.ui = False
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()
    # The engine's threads may hang in their destructors.
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
