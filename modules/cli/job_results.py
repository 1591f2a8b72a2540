"""What the terminal shows of the results of jobs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from modules.jobs.export import table
from modules.library.sizes import format_size
from modules.system.program_name import program_name

# Wrong answers that the terminal shows; the results have them all.
_WRONG_SHOWN = 10


def show_plan(plan: dict[str, Any]) -> None:
    """Say what a quantization will take, before it starts."""
    estimate = plan["estimate"]
    seconds, memory = estimate["seconds"], estimate["memory_bytes"]
    parts = [
        f"about {seconds:.0f} s" if seconds is not None else "a time that is not known",
        f"{format_size(memory)} of memory" if memory is not None else "memory that is not known",
        f"{format_size(estimate['disk_bytes'])} on the disk",
    ]
    print(f"{plan['model']} will take {', '.join(parts)}. {estimate['how']}", file=sys.stderr)


def show_quantized(results: dict[str, Any]) -> None:
    size, before = results["size_bytes"], results["source_size_bytes"]
    for note in results["notes"]:
        print(note, file=sys.stderr)
    print(
        f"{results['model']} is in models/: {format_size(size)} (the original has {format_size(before)}), "
        f"{results['bits_per_weight']} bits a weight, made in {results['seconds']:.0f} s."
    )
    if results["loader"]:
        print(f"Try it: {program_name()} generate --model {results['model']} --prompt 'Hello'")
        print(f"Measure it: {program_name()} evaluate {results['model']}")


def show_evaluated(results: dict[str, Any]) -> None:
    for note in results["notes"]:
        print(note, file=sys.stderr)
    print(table([results]))
    _show_tasks(results["tasks"])
    for check in results["checks"]:
        print(f"{'pass' if check['passed'] else 'FAIL'}  {check['name']}  {check['detail']}".rstrip())


def _show_tasks(tasks: dict[str, Any] | None) -> None:
    if not tasks:
        return
    for name, found in tasks["by_type"].items():
        print(f"{tasks['source']}, {name}: {found['correct']} of {found['total']} right")
    for entry in tasks["wrong"][:_WRONG_SHOWN]:
        print(f"wrong: {entry['question'][:100]} {entry['answer'][:100]!r} instead of {entry['expected'][:100]!r}")


def show_compared(results: dict[str, Any]) -> None:
    print(table(results["rows"]))
    for entry in results["answers"]:
        print(f"\n> {entry['prompt'][:100]}")
        for model, answer in entry["answers"].items():
            print(f"{model}: {' '.join(answer.split())[:400]}")


def show_trained(results: dict[str, Any]) -> None:
    for note in results["notes"]:
        print(note, file=sys.stderr)
    for sample in results["samples"]:
        print(f"Answer after epoch {sample['epoch']}: {' '.join(sample['text'].split())[:300]}")
    loss = f", last loss {results['losses'][-1][1]:.3g}" if results["losses"] else ""
    program = program_name()
    print(
        f"{results['adapter']} is in models/: an adapter of {format_size(results['size_bytes'])}, trained in "
        f"{results['steps']} steps on {results['examples']} examples{loss}, in {results['seconds']:.0f} s.\n"
        f"Try it: {program} generate --model {results['model']} --adapter {results['adapter']} --prompt 'Hello'\n"
        f"Merge it: {program} merge {results['model']} {results['adapter']}"
    )


def show_merged(results: dict[str, Any]) -> None:
    for note in results["notes"]:
        print(note, file=sys.stderr)
    name = results.get("model") or results["adapter"]
    size, seconds = format_size(results["size_bytes"]), results["seconds"]
    print(f"{name} is in models/: {size}, made from {results['merged_adapter']} in {seconds:.0f} s.")
    if "model" in results:
        print(f"Try it: {program_name()} generate --model {name} --prompt 'Hello'")
    else:
        print(
            f"Try it with a GGUF file of {results['source']}: "
            f"{program_name()} generate --model FILE.gguf --adapter {name}"
        )


SHOW_RESULTS: dict[str, Callable[[dict[str, object]], None]] = {
    "quantize": show_quantized,
    "evaluate": show_evaluated,
    "compare": show_compared,
    "train": show_trained,
    "merge": show_merged,
}
