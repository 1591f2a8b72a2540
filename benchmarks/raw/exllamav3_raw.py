"""ExLlamaV3's own generator, greedy: `python exllamav3_raw.py MODEL PROMPT CONTEXT`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from loop import serve_jobs

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))

from modules.worker.hf.cuda_kernels import prepare_compilation


def main(path: str, prompt: str, context: str) -> None:
    """Serve rounds."""
    with prepare_compilation("exllamav3_ext"):
        engine = importlib.import_module("exllamav3")
    config = engine.Config.from_directory(path)
    model = engine.Model.from_config(config)
    cache = engine.Cache(model, max_num_tokens=int(context))
    model.load()
    model.warmup(cache=cache)
    tokenizer = engine.Tokenizer.from_config(config)
    generator = engine.Generator(model=model, cache=cache, tokenizer=tokenizer, max_batch_size=1)
    ids = tokenizer.encode(prompt, add_bos=True)

    serve_jobs(
        generator,
        lambda count: generator.enqueue(
            engine.Job(input_ids=ids, max_new_tokens=count, sampler=engine.GreedySampler())
        ),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
