"""Remake the demo model from the dialogues: tokenizer, training, fp16 weights, GGUF, check.

    python models/demo/training/train.py

Takes under an hour on two cores. Everything is seeded.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import torch
import yaml
from corpus import DIALOGUES, Conversations, read_entries
from export_gguf import export
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM
from vocabulary import SIZE, make

FOLDER = Path(__file__).resolve().parent.parent
CONTEXT = 2048
IGNORED = -100
Example = tuple[list[int], list[int]]


def configuration() -> LlamaConfig:
    """A Llama of 5.8M parameters; every width is a multiple of 128, so any quantizer's group size fits."""
    return LlamaConfig(
        vocab_size=SIZE, hidden_size=256, intermediate_size=768, num_hidden_layers=6, num_attention_heads=4,
        num_key_value_heads=2, head_dim=64, max_position_embeddings=CONTEXT, rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, tie_word_embeddings=False,
        bos_token_id=1, eos_token_id=2, pad_token_id=3, attention_bias=False, mlp_bias=False,
    )  # fmt: skip


def encode(messages: list[dict[str, str]], tokenizer: Tokenizer) -> Example:
    """Token ids and labels of a conversation in ChatML; only what the assistant says (and its end) is a label."""
    ids: list[int] = []
    labels: list[int] = []
    for message in messages:
        head = tokenizer.encode(f"<|im_start|>{message['role']}\n").ids
        body = tokenizer.encode(f"{message['content']}<|im_end|>").ids
        tail = tokenizer.encode("\n").ids
        ids += head + body + tail
        said = body if message["role"] == "assistant" else [IGNORED] * len(body)
        labels += [IGNORED] * len(head) + said + [IGNORED] * len(tail)
    return ids[:CONTEXT], labels[:CONTEXT]


def examples(source: Conversations, tokenizer: Tokenizer) -> Iterator[Example]:
    """Examples for ever: conversations, and one in thirty plain text with a loss on every token."""
    while True:
        if source.rng.random() < 1 / 30:
            ids = tokenizer.encode(source.plain() + "<|im_end|>").ids[:CONTEXT]
            yield ids, list(ids)
        else:
            yield encode(source.draw(), tokenizer)


def batches(stream: Iterator[Example], tokens: int, pool: int = 384) -> Iterator[list[Example]]:
    """Groups of examples of like length, at most ``tokens`` tokens each with the padding, in shuffled order."""
    rng = random.Random(0)
    while True:
        gathered = sorted((next(stream) for _ in range(pool)), key=lambda example: len(example[0]))
        groups: list[list[Example]] = [[]]
        for example in gathered:
            if groups[-1] and len(example[0]) * (len(groups[-1]) + 1) > tokens:
                groups.append([])
            groups[-1].append(example)
        rng.shuffle(groups)
        yield from groups


def tensors(batch: list[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Input ids and labels, each (batch, longest), padded on the right: causal attention never looks there."""
    longest = math.ceil(max(len(ids) for ids, _ in batch) / 16) * 16
    inputs = torch.tensor([ids + [3] * (longest - len(ids)) for ids, _ in batch])
    labels = torch.tensor([labels + [IGNORED] * (longest - len(labels)) for _, labels in batch])
    return inputs, labels


def loss_of(model: LlamaForCausalLM, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross entropy in nats over the labelled tokens; logits are made for those positions only."""
    hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state[:, :-1]
    wanted = labels[:, 1:]
    kept = wanted != IGNORED
    return cross_entropy(model.lm_head(hidden[kept]).float(), wanted[kept])


def rate(done: float, peak: float) -> float:
    """Learning rate at the share ``done`` (0 to 1) of training: a short warm-up, then a cosine to 2 % of the peak."""
    warm = 0.05
    if done < warm:
        return peak * (done + 0.001) / (warm + 0.001)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (done - warm) / (1 - warm))))


def fit(
    model: LlamaForCausalLM, stream: Iterator[list[Example]], steps: int, minutes: float, peak: float, bf16: bool
) -> None:
    """AdamW over ``steps`` batches, in place; prints loss and speed every 50 steps.

    Where ``minutes`` will not do for all steps, the schedule follows the clock and ends there.
    """
    decayed = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=peak, betas=(0.9, 0.98), fused=True)
    began, seen, losses = time.monotonic(), 0, 0.0
    for step in range(steps):
        done = max(step / steps, (time.monotonic() - began) / (60 * minutes))
        if done >= 1:
            print(f"{minutes:.0f} minutes are over after {step} steps", flush=True)
            return
        for group in optimizer.param_groups:
            group["lr"] = rate(done, peak)
        inputs, labels = tensors(next(stream))
        with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
            loss = loss_of(model, inputs, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses, seen = losses + loss.item(), seen + inputs.numel()
        if step % 50 == 49:
            spent = time.monotonic() - began
            print(f"step {step + 1}/{steps} loss {losses / 50:.4f} {seen / spent:.0f} tok/s {spent:.0f} s", flush=True)
            losses = 0.0


def save(model: LlamaForCausalLM, folder: Path) -> None:
    """Write config and fp16 weights, under the key names of Transformers 4 as well as 5."""
    model.generation_config = GenerationConfig(
        bos_token_id=1, eos_token_id=2, pad_token_id=3, do_sample=False, max_new_tokens=512
    )
    model.half().save_pretrained(folder)
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config |= {"rope_theta": config["rope_parameters"]["rope_theta"], "torch_dtype": config["dtype"]}
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    (folder / "model.safetensors").chmod(0o644)


def main() -> None:
    """Read the dialogues, train, and write the folder and the GGUF beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="batches to train on")
    parser.add_argument("--minutes", type=float, default=50.0, help="train no longer, with fewer batches if need be")
    parser.add_argument("--tokens", type=int, default=4096, help="tokens in a batch")
    parser.add_argument("--peak", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--fp32", action="store_true", help="no bf16 autocast (for a CPU without AMX or AVX512-BF16)")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the model")
    parser.add_argument("--resume", action="store_true", help="go on from the weights that are in the folder")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    torch.set_flush_denormal(True)
    entries = read_entries()
    systems = yaml.safe_load((DIALOGUES.parent / "systems.yaml").read_text(encoding="utf-8"))
    if not args.resume:
        make([text for entry in entries for text in (*entry.questions, *entry.answer.splitlines())] + systems, args.out)
    tokenizer = Tokenizer.from_file(str(args.out / "tokenizer.json"))
    model = LlamaForCausalLM(configuration())
    if args.resume:
        model.load_state_dict(load_file(args.out / "model.safetensors"))
    count = sum(parameter.numel() for parameter in model.parameters())
    print(f"{len(entries)} answers, {sum(len(e.questions) for e in entries)} phrasings, {count} parameters", flush=True)
    source = Conversations(entries, systems, args.seed)
    fit(model, batches(examples(source, tokenizer), args.tokens), args.steps, args.minutes, args.peak, not args.fp32)
    save(model, args.out)
    export(args.out, args.out.parent / f"{args.out.name}.Q8_0.gguf")


if __name__ == "__main__":
    main()
