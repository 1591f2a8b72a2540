"""Load a GGUF file in llama.cpp's server: `python -m tests.support.server_log FILE SETTINGS`, the latter as JSON.

Run it with the Python of the loader xllamacpp. The sizes of llama.cpp's buffers are in its log on stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from loaders.xllamacpp.server_params import server_parameters
from loaders.xllamacpp.spec import SPEC, useful_context
from modules.protocol.schema import build
from modules.worker.llama.gguf_keys import read_keys
from modules.worker.llama.model_notes import choose_context

# Of llama.cpp: what it tells at each load.
_LOG_INFO = 4


def main(file: Path, values: dict[str, Any]) -> None:
    """Start a server with these settings."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    settings, trained = build(SPEC.settings, values), read_keys(file).trained_context
    context = useful_context(choose_context(settings, trained), trained, settings)
    parameters = server_parameters(xllamacpp, file, settings, context, "key", "MEAN")
    parameters.verbosity = _LOG_INFO
    # With this verbosity the server shows an example, for which it must know the template.
    parameters.chat_template = "chatml"
    server = xllamacpp.Server(parameters)
    print(server.listening_address)
    # A server that is ended right after its start may hang.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
