"""Perplexity: which tokens are predicted from which others.

The perplexity of a text is exp(-1/N · Σ ln p(token i | tokens before it)), over the N tokens that are scored. Two usual
definitions differ in how much text comes before each token:

- sliding: a window of W tokens moves by S tokens. Each window scores the tokens that no window scored before, so every
  token but the first is scored once. https://huggingface.co/docs/transformers/perplexity
- chunks: the text is cut into chunks of W tokens, the first token of each becomes BOS where the model wants one, and
  the second half of each chunk is scored, from the middle on. tools/perplexity of llama.cpp; its numbers are lower
  than those of a small stride for short windows, since much of the text counts only as context.
"""

from __future__ import annotations

from dataclasses import dataclass

from modules.jobs.job_spec import JobError
from modules.protocol.schema import setting


@dataclass(frozen=True)
class EvaluateSettings:
    """What evaluate measures, besides the settings of the loader."""

    mode: str = setting(
        "sliding",
        label="Mode",
        choices=("sliding", "chunks"),
        help="sliding scores each token once, as Transformers defines it; chunks is llama.cpp's definition.",
    )
    window: int = setting(512, label="Window", minimum=16, maximum=131_072, unit="tokens", help="Tokens read at once.")
    stride: int = setting(
        256,
        label="Stride",
        minimum=1,
        maximum=131_072,
        unit="tokens",
        help="With mode sliding: how far the window moves. A smaller stride gives each token more context and takes "
        "longer. It is less than the window.",
    )
    tokens: int = setting(
        8192,
        label="Longest text",
        minimum=32,
        maximum=10_000_000,
        unit="tokens",
        help="The text is cut here. The comparison with an original keeps 4 bytes for each token and each entry of the "
        "vocabulary on disk while it runs.",
    )
    speed: bool = setting(True, label="Measure speed", help="Also measure tokens a second and the most memory.")


@dataclass(frozen=True)
class Window:
    """Tokens to read from an empty context; those from `first` on are scored."""

    tokens: list[int]
    first: int


def make_windows(tokens: list[int], settings: EvaluateSettings, bos: int | None) -> list[Window]:
    """Return the windows of a text. `bos`: the token that begins a text, where the model wants one.

    Raises JobError for a text that is too short.
    """
    if settings.mode == "sliding":
        # Windows overlap by one token at least, so that something comes before each scored token.
        found = _sliding(tokens, settings.window, min(settings.stride, settings.window - 1))
    else:
        found = _chunks(tokens, settings.window, bos)
    if not found:
        raise JobError(
            f"The text has {len(tokens)} tokens, too few for a window of {settings.window}. Choose a longer text, or "
            f"--set window={max(16, len(tokens) // 2)}."
        )
    return found


def _sliding(tokens: list[int], size: int, stride: int) -> list[Window]:
    found: list[Window] = []
    scored = 0
    for begin in range(0, len(tokens), stride):
        end = min(begin + size, len(tokens))
        # Nothing predicts the first token of the text.
        first = max(1, scored - begin)
        if first < end - begin:
            found.append(Window(tokens[begin:end], first))
        scored = end
        if end == len(tokens):
            break
    return found


def _chunks(tokens: list[int], size: int, bos: int | None) -> list[Window]:
    found = []
    for begin in range(0, len(tokens) - size + 1, size):
        chunk = tokens[begin : begin + size]
        if bos is not None:
            chunk = [bos, *chunk[1:]]
        found.append(Window(chunk, size // 2 + 1))
    return found
