"""Load a GGUF file with a draft model in llama.cpp's server, whatever Paddock says of it.

`python -m tests.support.draft_server MODEL DRAFT`, with the Python of the loader xllamacpp. Prints "accepted", or ends
with the server's error.
"""

from __future__ import annotations

import importlib
import os
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
    xllamacpp.Server(parameters)
    print("accepted", flush=True)
    # A server that is ended right after its start may hang.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
