"""llama-cpp-python's own `generate`, greedy, with its detokenizer: `python llamacpp_raw.py MODEL PROMPT -`."""

from __future__ import annotations

import sys
from itertools import islice

from llama_cpp import Llama
from loop import serve


def main(path: str, prompt: str, _dtype: str) -> None:
    """Serve rounds."""
    model = Llama(path, n_ctx=4096, verbose=False)
    tokens = model.tokenize(prompt.encode())

    def generate(count: int) -> int:
        return sum(
            1 for token in islice(model.generate(tokens, temp=0.0), count) if model.detokenize([token]) is not None
        )

    generate(4)
    serve(generate)


if __name__ == "__main__":
    main(*sys.argv[1:])
