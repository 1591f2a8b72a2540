"""Transformers' own `generate`, greedy, on a model that a loader's engine packed or read packed.

`python packed_raw.py MODEL PROMPT LOADER`. The loader's code loads the model, so that both sides have the same kernels;
the loop is the library's.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))

import torch
from cached import streaming
from loop import serve


def main(path: str, prompt: str, loader: str) -> None:
    """Serve rounds."""
    engine = importlib.import_module(f"loaders.{loader}.worker").Engine()
    settings = importlib.import_module(f"loaders.{loader}.spec").Settings()
    engine.load(Path(path), settings, lambda text, fraction: None)
    ids = torch.tensor([engine.tokenize(prompt, True)])

    def generate(count: int) -> int:
        with torch.inference_mode():
            out = engine.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                # AutoAWQ saves its folders with the cache switched off.
                use_cache=True,
                do_sample=False,
                min_new_tokens=count,
                max_new_tokens=count,
            )
        return int(out.shape[1] - ids.shape[1])

    generate(2)
    serve(generate, streaming(engine.model, lambda text: list(engine.tokenize(text, True))))


if __name__ == "__main__":
    main(*sys.argv[1:])
