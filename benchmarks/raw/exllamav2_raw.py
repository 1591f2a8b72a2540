"""ExLlamaV2's own dynamic generator, greedy: `python exllamav2_raw.py MODEL PROMPT CONTEXT`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from loop import serve_jobs

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))

from modules.worker.hf.cuda_kernels import prepare_compilation


def main(path: str, prompt: str, context: str) -> None:
    """Serve rounds."""
    with prepare_compilation("exllamav2_ext"):
        engine = importlib.import_module("exllamav2")
    kinds = importlib.import_module("exllamav2.generator")
    config = engine.ExLlamaV2Config(path)
    config.max_seq_len = int(context)
    config.arch_compat_overrides()
    model = engine.ExLlamaV2(config)
    cache = engine.ExLlamaV2Cache(model, max_seq_len=int(context), lazy=True)
    model.load_autosplit(cache, last_id_only=True)
    tokenizer = engine.ExLlamaV2Tokenizer(config)
    paged = importlib.import_module("exllamav2.attn").has_flash_attn_with_paged
    generator = kinds.ExLlamaV2DynamicGenerator(
        model=model, cache=cache, tokenizer=tokenizer, max_batch_size=None if paged else 1, paged=paged
    )
    ids = tokenizer.encode(prompt, add_bos=True)

    greedy = kinds.ExLlamaV2Sampler.Settings.greedy()
    serve_jobs(
        generator,
        lambda count: generator.enqueue(
            kinds.ExLlamaV2DynamicJob(input_ids=ids, max_new_tokens=count, gen_settings=greedy)
        ),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
