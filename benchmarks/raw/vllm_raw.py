"""vLLM's own `LLM.generate`, greedy, with the loader's arguments: `python vllm_raw.py MODEL PROMPT -`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[2]))
from loop import serve

from loaders.vllm.engine_args import ENVIRONMENT, choose_context, engine_arguments
from loaders.vllm.spec import Settings


def main(path: str, prompt: str, _dtype: str) -> None:
    """Serve rounds."""
    # vLLM and its processes log to stdout.
    stdout = os.dup(1)
    os.dup2(2, 1)
    os.environ.update(ENVIRONMENT)
    from vllm import LLM, SamplingParams
    from vllm.platforms import current_platform

    config = json.loads((Path(path) / "config.json").read_text(encoding="utf-8"))
    context, _ = choose_context(Settings(), config)
    llm = LLM(**engine_arguments(Path(path), Settings(), config, context, bool(current_platform.is_cpu())))

    def generate(count: int) -> int:
        wanted = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True)
        (answer,) = llm.generate([prompt], wanted, use_tqdm=False)
        return len(answer.outputs[0].token_ids)

    def stream(text: str, count: int) -> Iterator[None]:
        # LLM.generate returns whole replies: the first token's time is that of a reply of one.
        llm.generate([text], SamplingParams(temperature=0, max_tokens=1, ignore_eos=True), use_tqdm=False)
        yield None
        llm.generate([text], SamplingParams(temperature=0, max_tokens=count, ignore_eos=True), use_tqdm=False)
        yield from [None] * (count - 1)

    generate(4)
    os.dup2(stdout, 1)
    serve(generate, stream)


if __name__ == "__main__":
    main(*sys.argv[1:])
