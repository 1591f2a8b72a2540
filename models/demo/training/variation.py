"""The same question as different people type it: other words, typos, lower case, a greeting before it. Seeded."""

from __future__ import annotations

import random
import re

OPENINGS = (
    "hey, ", "hi, ", "hello, ", "please tell me: ", "quick question: ", "so, ", "and ", "ok, ", "okay, ", "um, ",
    "one question: ", "i wonder, ", "tell me, ", "I have a question: ", "Can you tell me: ", "sorry, ", "now, ",
)  # fmt: skip
CLOSINGS = (" please", " thanks", "??", " please?", " in short", " exactly?", " for me", " again", "...", "!")

REWRITES = tuple(
    (re.compile(pattern), forms)
    for pattern, forms in (
        (r"What (?:is|are) (.+)\?", ("What's {}?", "Explain {}", "Define {}", "Can you explain {}?", "Tell me about {}",
                                     "{}?", "Please explain {}", "What exactly is {}?", "I want to know what {} is")),
        (r"What does (.+) mean\?", ("Meaning of {}?", "What is meant by {}?", "What's {}?", "Explain what {} means")),
        (r"What does (.+) do\?", ("What is {} for?", "Can you explain {}?", "How does {} work?", "Tell me about {}",
                                  "What's the effect of {}?")),
        (r"How (?:do|can) I (.+)\?", ("How to {}?", "How do you {}?", "How can I {}?", "I want to {}", "How do I {}?",
                                      "How would I {}?", "Show me how to {}", "What is the way to {}?", "I need to {}",
                                      "How could I {}?", "Please tell me how to {}", "Is there a way to {}?")),
        (r"Which (.+)\?", ("What {}?", "Tell me which {}", "Can you tell me which {}?", "I want to know which {}")),
        (r"Where (?:is|are) (.+)\?", ("Where can I find {}?", "I am looking for {}", "Where do I find {}?",
                                      "{}, where?", "In which folder is {}?", "Where's {}?")),
        (r"Does (.+)\?", ("Will {}?", "Can {}?", "Tell me, does {}?", "I want to know if {}")),
        (r"My (.+)", ("The {}", "Help, my {}", "What can I do, my {}", "Why is it that my {}?", "I think my {}")),
        (r"The (.+)", ("My {}", "Help, the {}", "What can I do, the {}", "Why is it that the {}?", "It says the {}")),
        (r"Can I (.+)\?", ("Is it possible to {}?", "May I {}?", "Could I {}?", "Can you {}?", "Can one {}?")),
        (r"Why (?:is|are) (.+)\?", ("How come {}?", "What is the reason for {}?")),
    )
)  # fmt: skip
SMALL_WORDS = (
    "a", "an", "the", "is", "are", "do", "does", "can", "i", "my", "of", "to", "in", "it", "for", "me", "should",
    "please",
)  # fmt: skip


def reword(question: str, rng: random.Random) -> str:
    """The same question in another common form, or without one of its small words."""
    for pattern, forms in REWRITES:
        match = pattern.fullmatch(question)
        if match and rng.random() < 0.7:
            return rng.choice(forms).format(match[1])
    words = question.split(" ")
    small = [index for index, word in enumerate(words) if word.lower() in SMALL_WORDS]
    if len(words) > 3 and small:
        del words[rng.choice(small)]
    return " ".join(words)


def thin(question: str, rng: random.Random) -> str:
    """Without some of its words, so that each word that is left must tell what was meant."""
    words = question.split(" ")
    kept = [word for word in words if rng.random() > 0.15]
    return " ".join(kept) if len(kept) > 1 else question


def vary(question: str, rng: random.Random) -> str:
    """A question as someone in a hurry may type it: lower case, no question mark, a typo, a greeting before it."""
    if rng.random() < 0.25:
        return question
    text = reword(question, rng) if rng.random() < 0.5 else question
    if rng.random() < 0.3:
        text = thin(text, rng)
    if rng.random() < 0.45:
        text = text.rstrip("?.!") or question
    if rng.random() < 0.2:
        opening = rng.choice(OPENINGS)
        text = opening + (text[0].lower() + text[1:] if not text[:2].isupper() else text)
    if rng.random() < 0.12:
        text = text.rstrip("?.!") + rng.choice(CLOSINGS)
    if rng.random() < 0.25:
        text = _typo(text, rng)
    draw = rng.random()
    if draw < 0.4:
        return text.lower()
    return text.upper() if draw < 0.42 else text


def _typo(text: str, rng: random.Random) -> str:
    """Swap, drop or double one letter inside a word."""
    if len(text) < 6:
        return text
    at = rng.randrange(1, len(text) - 2)
    kind = rng.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :] if kind == 1 else text[:at] + text[at] + text[at:]
