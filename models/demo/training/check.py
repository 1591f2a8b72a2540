"""Ask the demo model its 20 questions, greedily; exit 1 if an answer is wrong or does not end by itself.

    python models/demo/training/check.py [--dtype float16] [--held-out]

An answer is right when it is, letter by letter, the one in dialogues/. The questions are asked twice: each in a chat
of its own, and all in one chat as far as the context reaches. ``--held-out`` asks, instead, one phrasing of every
answer that training has not seen, and prints the share of right answers.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from corpus import Entry, read_entries
from questions import QUESTIONS
from transformers import AutoModelForCausalLM, AutoTokenizer

FOLDER = Path(__file__).resolve().parent.parent


class Asker:
    """The model in ``folder``, answering greedily through Transformers."""

    def __init__(self, folder: Path, dtype: str) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()

    def ask(self, messages: list[dict[str, str]]) -> tuple[str, bool]:
        """The answer to a chat, and whether it ended by itself within 512 tokens."""
        text = self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        inputs = self.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]
        with torch.inference_mode():
            output = self.model.generate(
                inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=512
            )
        new = output[0, inputs.shape[1] :].tolist()
        return self.tokenizer.decode(new, skip_special_tokens=True), new[-1] == self.tokenizer.eos_token_id


def right_answers(entries: list[Entry]) -> dict[str, str]:
    """Every phrasing with its answer."""
    return {question: entry.answer for entry in entries for question in entry.questions}


def ask_alone(asker: Asker, answers: dict[str, str]) -> int:
    """Ask each question in a chat of its own; print the answers, return how many were wrong."""
    wrong = 0
    for question in QUESTIONS:
        said, ended = asker.ask([{"role": "user", "content": question}])
        good = ended and said == answers[question]
        wrong += not good
        print(f"[{'right' if good else 'WRONG'}] {question}\n        {said}")
    return wrong


def ask_in_one_chat(asker: Asker, answers: dict[str, str]) -> int:
    """Ask all questions in one chat, with the history before each; return how many were wrong."""
    messages: list[dict[str, str]] = []
    wrong = 0
    for question in QUESTIONS:
        messages.append({"role": "user", "content": question})
        said, ended = asker.ask(messages)
        if not ended or said != answers[question]:
            wrong += 1
            print(f"[WRONG] after {len(messages) - 1} messages: {question}\n        {said}")
        messages.append({"role": "assistant", "content": said})
    return wrong


def ask_held_out(asker: Asker, entries: list[Entry]) -> int:
    """Ask the phrasings that training has not seen; print the share of right answers, return how many were wrong."""
    asked = [entry for entry in entries if entry.held_out]
    wrong = unended = 0
    for entry in asked:
        said, ended = asker.ask([{"role": "user", "content": entry.held_out or ""}])
        unended += not ended
        if said != entry.answer:
            wrong += 1
            print(f"[WRONG] {entry.held_out}\n        {said}")
    print(f"held-out phrasings: {len(asked) - wrong} of {len(asked)} right, {unended} did not end by themselves")
    return wrong


def main() -> int:
    """Exit status 0 when all that was asked is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16", "bfloat16"))
    parser.add_argument("--held-out", action="store_true")
    args = parser.parse_args()
    entries = read_entries()
    asker = Asker(args.folder, args.dtype)
    if args.held_out:
        ask_held_out(asker, entries)
        return 0
    answers = right_answers(entries)
    alone = ask_alone(asker, answers)
    together = ask_in_one_chat(asker, answers)
    print(f"alone: {len(QUESTIONS) - alone} of {len(QUESTIONS)} right; in one chat: {len(QUESTIONS) - together}")
    return 1 if alone or together else 0


if __name__ == "__main__":
    sys.exit(main())
