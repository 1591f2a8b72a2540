"""Events from a worker to the host. An event's `id` is that of the command it answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypedDict

# Incremented when the meaning of a message changes. The host refuses a worker of another version.
PROTOCOL_VERSION = 1

# Why a generation ended: the model's end token, a stop text, the maximum length, the context's end, or Cancel.
FINISH_REASONS = ("stop", "stop_text", "length", "context", "cancelled")


@dataclass(frozen=True)
class Ready:
    """The worker's first event: it imported its engine and reads commands."""

    loader: str
    protocol: int = PROTOCOL_VERSION
    engine: str = ""


@dataclass(frozen=True)
class Progress:
    """Progress of a load: `fraction` from 0 to 1, or None if the engine does not report it."""

    id: str
    text: str
    fraction: float | None = None


@dataclass(frozen=True)
class ModelInfo:
    """Facts of a loaded model.

    `context`: its context length as loaded; `trained_context`: the trained one (0: unknown). `slots`: generations at
    once. `template_source`: where the chat template was found ("tokenizer_config.json", "GGUF metadata", …).
    `notes`: sentences for the user, such as a fallback that was used. `ignored`: sampling parameters in the spec that
    are not honoured with this model on this machine. `sees_images`: messages may have images. `audio_formats`: of the
    sounds that messages may have: "wav", "mp3". `kernel`: what multiplies packed weights, where it is known.
    """

    context: int
    trained_context: int = 0
    slots: int = 1
    device: str = "cpu"
    dtype: str = ""
    architecture: str = ""
    parameters: int = 0
    template: str = ""
    template_source: str = ""
    bos: str = ""
    eos: str = ""
    memory_bytes: int = 0
    notes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    sees_images: bool = False
    audio_formats: list[str] = field(default_factory=list)
    kernel: str = ""


@dataclass(frozen=True)
class Loaded:
    """The model is ready to generate."""

    id: str
    info: ModelInfo
    seconds: float = 0.0


@dataclass(frozen=True)
class ChatPromptResult:
    """The value of the Result of ChatPrompt: the prompt, its length in tokens, and the source of its template.

    `opening`: the end of the prompt that begins the reply's reasoning, such as "<think>". The reply's text lacks it.
    `media`: the paths of the images and sounds in the prompt, in the order of their marks.
    """

    prompt: str
    tokens: int
    template: str
    opening: str = ""
    media: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RerankResult:
    """The value of the Result of Rerank.

    `scores`: a number from 0 to 1 for each document. `tokens`: of all pairs of query and document. `cut`: places of the
    documents of which only the beginning was read, because the model reads no more.
    """

    scores: list[float]
    tokens: int = 0
    cut: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Prompted:
    """The prompt of a chat is ready. `tokens`: its length.

    `left_out`: how many messages after the first `keep_first` were left out to fit the context. `notes`: sentences
    about what was changed for the chat template. `opening`: as in ChatPromptResult.
    """

    id: str
    tokens: int
    left_out: int = 0
    notes: list[str] = field(default_factory=list)
    opening: str = ""


class TokenLogprob(TypedDict):
    """A token: its id, the bytes that it adds to a text, and ln p before any sampler."""

    token: int
    bytes: list[int]
    logprob: float


class ReplyLogprob(TokenLogprob):
    """A token of a reply, with the likeliest in its place, likeliest first."""

    top: list[TokenLogprob]


class ScoreResult(TypedDict, total=False):
    """The answer to commands.Score, whose docstring says what is in it."""

    rows: int
    vocabulary: int
    seconds: float
    log_probabilities: list[float]


class TokenProbability(TypedDict):
    """A token that may come next."""

    token: int
    text: str
    probability: float


@dataclass(frozen=True)
class Chunk:
    """Generated text, of whole characters, and its number of tokens.

    `logprobs`: where Generate asked for them, an entry for each token: {"token": id, "bytes": [byte], "logprob": ln p
    before any sampler, "top": [{"token", "bytes", "logprob"}, likeliest first]}. The id is -1 where another server
    does not say it.
    """

    id: str
    text: str
    tokens: int = 1
    logprobs: list[ReplyLogprob] = field(default_factory=list)


@dataclass(frozen=True)
class Finished:
    """The end of a generation. `cached_tokens`: tokens of the prompt found in the engine's cache; `cut_tokens`: tokens
    of the prompt left out to fit the context; `drafted_tokens`: tokens that a draft guessed, and `accepted_tokens`:
    those of them that the model would have chosen; `served_by`: the address of the server that wrote the reply. Seconds
    are the engine's."""

    id: str
    reason: str
    prompt_tokens: int = 0
    cached_tokens: int = 0
    cut_tokens: int = 0
    generated_tokens: int = 0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0
    seed: int = -1
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    served_by: str = ""


@dataclass(frozen=True)
class Result:
    """The answer to a command with one value; the command's docstring gives its shape."""

    id: str
    value: object = None


@dataclass(frozen=True)
class Failed:
    """A command failed. `code` is one of `errors.ERRORS`; `lower` names settings to lower when memory ran out."""

    id: str
    code: str
    message: str
    detail: str = ""
    lower: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class HookFailed:
    """A hook of an extension in the worker failed and was disabled. `message`: the error; `detail`: the traceback."""

    extension: str
    hook: str
    message: str
    detail: str = ""


@dataclass(frozen=True)
class HookPrinted:
    """Output of an extension's hooks in the worker since the previous HookPrinted."""

    extension: str
    text: str


@dataclass(frozen=True)
class HookStored:
    """Values that an extension's code in the worker wrote, by name; None: it deleted the value. `origin`: the worker's
    name as a writer of shared values."""

    extension: str
    values: dict[str, object]
    origin: str


@dataclass(frozen=True)
class Log:
    """A line for the log. `level`: debug, info, warning or error."""

    level: str
    text: str


HookEvent = HookFailed | HookPrinted | HookStored
Event = Ready | Progress | Loaded | Prompted | Chunk | Finished | Result | Failed | HookEvent | Log
