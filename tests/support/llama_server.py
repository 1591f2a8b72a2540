"""llama.cpp's server with a model: `python llama_server.py FILE`, run by the Python of the xllamacpp environment.

Prints its address, and ends when stdin does. A server that others wrote, for the remote loader's tests.
"""

from __future__ import annotations

import importlib
import os
import sys


def main(path: str) -> None:
    """Serve until stdin ends."""
    xllamacpp = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = path
    params.hostnames, params.port = ["127.0.0.1"], 0
    params.n_ctx, params.n_parallel, params.kv_unified = 2048, 2, True
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
    main(sys.argv[1])
