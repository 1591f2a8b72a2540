"""llama-cpp-python's own `generate`, greedy, with its detokenizer: `python llamacpp_raw.py MODEL PROMPT -`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any

from llama_cpp import Llama, llama_cpp
from loop import serve


def without_amx() -> None:
    """As the loader does: where AMX code was compiled in, reading a prompt with it crashes (see its README)."""
    default = llama_cpp.llama_model_default_params

    def parameters() -> Any:
        params = default()
        params.use_extra_bufts = b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()
        return params

    llama_cpp.llama_model_default_params = parameters


def main(path: str, prompt: str, _dtype: str) -> None:
    """Serve rounds."""
    without_amx()
    model = Llama(path, n_ctx=4096, n_gpu_layers=-1, verbose=False)
    tokens = model.tokenize(prompt.encode())

    def generate(count: int) -> int:
        return sum(
            1 for token in islice(model.generate(tokens, temp=0.0), count) if model.detokenize([token]) is not None
        )

    def stream(text: str, count: int) -> Iterator[int]:
        # It keeps the longest beginning that it knows of the last prompt.
        return islice(model.generate(model.tokenize(text.encode()), temp=0.0), count)

    generate(4)
    serve(generate, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
