"""Load a GGUF file with a draft model in llama.cpp's server, whatever Paddock says of it.

`python -m tests.support.draft_server MODEL DRAFT`, with the Python of the loader xllamacpp. Prints "accepted", or ends
with the server's error.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from loaders.xllamacpp.server_params import server_parameters
from loaders.xllamacpp.spec import Settings


def main(model: Path, draft: Path) -> None:
    """Start a server."""
    xllamacpp: Any = importlib.import_module("xllamacpp")
    parameters = server_parameters(xllamacpp, model, Settings(context=256), 256, "key", "MEAN")
    parameters.speculative.draft.mparams.path = str(draft)
    parameters.speculative.types = [xllamacpp.common_speculative_type.COMMON_SPECULATIVE_TYPE_DRAFT_SIMPLE]
    parameters.speculative.draft.n_max = 4
    server = xllamacpp.Server(parameters)
    # A server that is destroyed right after its start may hang. Its end writes the rest of the log.
    server.handle_completions({"prompt": "a", "n_predict": 1}, lambda answer: None)
    print("accepted", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
