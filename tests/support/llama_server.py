"""llama.cpp's server with a model: `python llama_server.py FILE [CONTEXT THREADS]`, by xllamacpp's Python.

Prints its address, and ends when stdin does. A server that others wrote, for the remote loader's tests.
"""

from __future__ import annotations

import importlib
import os
import sys


def main(path: str, context: str = "2048", threads: str = "-1") -> None:
    """Serve until stdin ends."""
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
