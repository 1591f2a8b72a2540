"""Load a GGUF file in llama.cpp with each of several settings: `python -m tests.support.vulkan_layers FILE JSON...`.

Run it with the Python of the loader llamacpp. It prints a line of JSON for each: {"text", "log"}. `text` is a greedy
reply; `log` what llama.cpp said, from which the sizes of its buffers are read.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from loaders.llamacpp.spec import SPEC
from loaders.llamacpp.worker import Engine
from modules.protocol.commands import Generate
from modules.protocol.sampling import SamplingParams
from modules.protocol.schema import build
from modules.worker.engine import Piece

_GREEDY = SamplingParams(temperature=0.0, max_new_tokens=24, seed=1)


def main(file: Path, cases: list[dict[str, Any]]) -> None:
    """Print the answer to each case."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for case in cases:
        engine = Engine()
        lines: list[str] = []
        listen = engine._lib.llama_log_callback(lambda level, text, data, lines=lines: lines.append(text.decode()))
        engine._lib.llama_log_set(listen, ctypes.c_void_p(0))
        engine.load(file, build(SPEC.settings, case), lambda text, fraction: None)
        reply = engine.generate(Generate("1", "Question: What is GGUF?\nAnswer:", _GREEDY), threading.Event())
        text = "".join(piece.text for piece in reply if isinstance(piece, Piece))
        engine.unload()
        out.write(json.dumps({"text": text, "log": "".join(lines)}) + "\n")
        out.flush()
    # llama.cpp's threads need not end.
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [json.loads(text) for text in sys.argv[2:]])
