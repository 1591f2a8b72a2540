"""Checks of a model's answers: each passes or fails, and a failure names the likely cause and the next step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from modules.library.sizes import format_size
from modules.protocol.commands import ChatPrompt
from modules.protocol.events import Finished
from modules.protocol.sampling import SamplingParams
from modules.runtime.worker_client import WorkerClient

# What is asked; greedy, so the same model always gives the same answer.
QUESTIONS = ("What is quantization?", "What is GGUF?", "Hello!")
_UNUSUAL = "Repeat: ß 漢字 🐎 \u200b\t{}[]<>|~"
_LONG = "Here is a list of words. " + "apple river stone cloud " * 60 + "What is a token?"
_LONGEST_ANSWER = 160
_AGREEING_TOKENS = 8
# A piece of this many words that comes again this often is a loop.
_LOOP_WORDS, _LOOP_TIMES = 6, 4
# Two runs of the same model differ by a few percent.
_AS_FAST = 0.95


@dataclass(frozen=True)
class Answer:
    """One greedy answer: its text, its first token ids, and why it ended."""

    prompt: str
    text: str
    reason: str


def ask_questions(client: WorkerClient, report: Any) -> list[Answer]:
    """Return the model's greedy answers to QUESTIONS, to a long prompt and to one with unusual characters."""
    found = []
    prompts = [*QUESTIONS, _LONG, _UNUSUAL]
    for number, prompt in enumerate(prompts):
        report(f"Asking: {prompt[:40]}", number / len(prompts))
        found.append(answer(client, prompt, _LONGEST_ANSWER))
    return found


def answer(client: WorkerClient, question: str, longest: int) -> Answer:
    """Return the greedy answer to one question, in the model's own chat template."""
    messages: list[dict[str, object]] = [{"role": "user", "content": question}]
    prompt = client.ask(ChatPrompt(client.next_id(), messages))["prompt"]
    params = SamplingParams(max_new_tokens=longest, temperature=0, do_sample=False)
    generation = client.generate(prompt, params)
    text = "".join(generation.follow(gather=0))
    if generation.error is not None:
        raise generation.error
    finished: Finished | None = generation.finished
    return Answer(question, text, finished.reason if finished else "")


def judge(
    answers: Sequence[Answer], not_numbers: int, originals: Sequence[Answer], sizes: tuple[int, int]
) -> list[dict[str, object]]:
    """Return the checks, ready for JSON: name, passed, detail. `originals`: the original's answers, where it was asked.

    `sizes`: bytes on disk of the model and of the original, 0 where there is none.
    """
    usual, long, unusual = answers[: len(QUESTIONS)], answers[-2], answers[-1]
    checks = [
        _check(
            "numbers",
            not not_numbers,
            f"{not_numbers} predictions are not numbers: the weights are damaged, or too few bits were kept. "
            "Quantize again with more bits.",
        ),
        _check("answers", all(entry.text.strip() for entry in usual), _garbled("Some answers are empty")),
        _check("no_loop", not any(_loops(entry.text) for entry in usual), _garbled("An answer repeats itself")),
        _check(
            "long_prompt", bool(long.text.strip()) and not _loops(long.text), _garbled("A long prompt gets no answer")
        ),
        _check("unusual_characters", bool(unusual.text.strip()), _garbled("Unusual characters get no answer")),
    ]
    ends = [entry.reason == "stop" for entry in usual]
    if not originals or any(entry.reason == "stop" for entry in originals[: len(QUESTIONS)]):
        checks.append(_check("ends", any(ends), _garbled(f"No answer ends within {_LONGEST_ANSWER} tokens")))
    if originals:
        same = [_same_start(ours.text, theirs.text) for ours, theirs in zip(usual, originals, strict=False)]
        detail = f"{sum(same)} of {len(same)} answers begin as the original's do. More bits bring more of them back."
        checks.append(_check("same_start", any(same), detail))
    ours, theirs = sizes
    if theirs:
        smaller = f"{ours:,} bytes, and the original has {theirs:,}: it was not saved packed, or at a higher precision."
        checks.append(_check("smaller", ours < theirs, smaller))
    return [asdict(check) for check in checks]


def judge_load(ours: Mapping[str, Any], theirs: Mapping[str, Any], about: str) -> list[dict[str, object]]:
    """Return the checks of memory and speed, ready for JSON, as far as both were measured.

    `ours`, `theirs`: of the model and of the original, as measure_speed returns them. `about`: a sentence on the
    loader's kernels on this machine.
    """
    checks = []
    if (held := ours["weights_bytes"]) and (before := theirs["weights_bytes"]):
        kind = f" as {ours['weights_dtype']}" if ours["weights_dtype"] else ""
        detail = (
            f"Its weights take {format_size(held)} in memory{kind}, and the original's {format_size(before)}: they are "
            "unpacked, or loaded at a higher precision. Choose another loader, or a smaller Compute type (dtype)."
        )
        checks.append(_check("memory", held < before, detail))
    if (rate := ours["decode_tokens_per_second"]) and (first := theirs["decode_tokens_per_second"]):
        kernel = f" The kernel that ran is {ours['kernel']}." if ours["kernel"] else ""
        detail = (
            f"It writes {rate:.0f} tokens a second, and the original {first:.0f}.{kernel} {about} Choose another "
            "loader or kernel, or keep it for its size."
        )
        checks.append(_check("speed", rate >= _AS_FAST * first, detail))
    return [asdict(check) for check in checks]


@dataclass(frozen=True)
class Check:
    """One check. `detail`: what was found, where it failed with the likely cause and the next step."""

    name: str
    passed: bool
    detail: str = ""


def _check(name: str, passed: bool, detail: str) -> Check:
    return Check(name, passed, "" if passed else detail)


def _garbled(what: str) -> str:
    return (
        f"{what}. The usual causes are too few bits for a model of this size, and calibration text unlike what the "
        "model writes. Quantize again with more bits, or with other calibration text."
    )


def _loops(text: str) -> bool:
    """Return True if a piece of some words comes again and again."""
    words = text.split()
    pieces: dict[tuple[str, ...], int] = {}
    for begin in range(len(words) - _LOOP_WORDS + 1):
        piece = tuple(words[begin : begin + _LOOP_WORDS])
        pieces[piece] = pieces.get(piece, 0) + 1
    return max(pieces.values(), default=0) >= _LOOP_TIMES


def _same_start(ours: str, theirs: str) -> bool:
    return ours.split()[:_AGREEING_TOKENS] == theirs.split()[:_AGREEING_TOKENS]
