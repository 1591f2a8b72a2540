"""Commands from the host to a worker. Every command has an `id`, which its answers repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modules.protocol.sampling import SamplingParams


@dataclass(frozen=True)
class Load:
    """Load the model at `path`. Answered by Progress and then Loaded or Failed.

    `projectors`: the fields of ModelFacts.projectors. `purpose`: what the model is for, one of model_facts.PURPOSES.
    """

    id: str
    path: str
    settings: Mapping[str, object] = field(default_factory=dict)
    projectors: list[dict[str, Any]] = field(default_factory=list)
    purpose: str = "generate"


@dataclass(frozen=True)
class Generate:
    """Continue `prompt`, or answer the chat in `messages`, which the worker renders and fits to the context.

    Answered by Chunks and then Finished or Failed; for a chat, by Prompted before those.

    `hooks`: hooks of extensions take part.

    For a chat only:
    `messages`: the whole chat, each {"role", "content"}; a content is a text or a list of {"type": "text", "text"} and
    {"type": "image" or "audio", "path"}, an absolute path. `template`, `continue_last`, `variables`: as in ChatPrompt.
    `overflow`: what happens to a chat that leaves no room for the reply. "cut" leaves out the oldest turns, "refuse"
    fails, and "" leaves it to the engine, which cuts tokens as `params.truncate` says.
    `keep_first`: the first so many messages are never left out. `reply_prefix`: text that the reply is made to begin
    with.
    `fill_context`: the reply may take all that the prompt leaves of the context, if that is more than
    `params.max_new_tokens`.
    `thinking_budget`: tokens of reasoning after which its end is written for the model; 0 for no limit.
    `opening`: set by the worker: what the prompt begins the reply with.
    `media`: paths of the images and sounds in `prompt`, in the order of their marks. The worker sets it for a chat.
    `start`: False makes the prompt ready and then waits for Start or Cancel.

    `logprobs`: the reply's Chunks come with the log-probabilities of their tokens, and with so many of the likeliest
    ones in their places; -1: without. An engine does so where `LoaderSpec.logprobs` is True.
    """

    id: str
    prompt: str = ""
    params: SamplingParams = field(default_factory=SamplingParams)
    hooks: bool = True
    messages: Sequence[Mapping[str, Any]] = field(default_factory=list)
    template: str = ""
    continue_last: bool = False
    variables: Mapping[str, object] = field(default_factory=dict)
    overflow: str = ""
    keep_first: int = 0
    reply_prefix: str = ""
    fill_context: bool = False
    thinking_budget: int = 0
    opening: str = ""
    media: list[str] = field(default_factory=list)
    start: bool = True
    logprobs: int = -1


@dataclass(frozen=True)
class Start:
    """Begin the generation named `id`, whose Generate had `start` False and was answered by Prompted."""

    id: str


@dataclass(frozen=True)
class Cancel:
    """Stop the generation named `id` within one token. Finished still follows, with the reason "cancelled"."""

    id: str


@dataclass(frozen=True)
class Tokenize:
    """Convert text to token ids. Answered by Result(list[int])."""

    id: str
    text: str
    special: bool = False


@dataclass(frozen=True)
class Detokenize:
    """Convert token ids to text. Answered by Result(str); with `apart`, by Result([[byte]]), the bytes of each."""

    id: str
    tokens: list[int]
    apart: bool = False


@dataclass(frozen=True)
class ChatPrompt:
    """Render `messages`, as in Generate, with the model's chat template, or with `template` if it is given.

    `continue_last`: the last message is an unfinished reply, which the prompt leaves open. Otherwise the prompt ends
    where the reply begins. `variables`: further names that the template may read. Answered by Result with the fields
    of events.ChatPromptResult.
    """

    id: str
    messages: Sequence[Mapping[str, Any]]
    template: str = ""
    continue_last: bool = False
    variables: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class NextTokenProbabilities:
    """Return the `top` likeliest next tokens.

    Answered by Result([{"token": int, "text": str, "probability": float}]).
    """

    id: str
    prompt: str
    top: int = 20


@dataclass(frozen=True)
class Embed:
    """Return a vector for each input: a text, or its token ids.

    Answered by Result({"vectors": [[float]], each of length 1 (L2), "tokens": int, of all inputs}).
    """

    id: str
    inputs: list[str | list[int]]


@dataclass(frozen=True)
class Rerank:
    """Score how well each document answers the query. Answered by Result with the fields of events.RerankResult."""

    id: str
    query: str
    documents: list[str]


@dataclass(frozen=True)
class ApplyAdapter:
    """Apply these LoRA adapters, path to weight, and no others. Answered by Result(None); after Failed the previous
    ones stay applied."""

    id: str
    adapters: dict[str, float]


@dataclass(frozen=True)
class Configure:
    """Run these extensions' hooks from the next reply on, and no others.

    Each entry: name, path (of the file), kind (the file's name), settings, packages (a folder, or ""), hooks, folder
    (the extension's), files (path in it -> digest: what may be imported), sha256 (of its code), store (shared values
    from SharedValues.export). Answered by Result(list[str]): the names of those that loaded. Each of the others sends
    a HookFailed.
    """

    id: str
    hooks: list[dict[str, object]] = field(default_factory=list)


@dataclass(frozen=True)
class Score:
    """Compute the logits that predict `tokens[first:]`, starting from an empty context.

    The worker writes them to `file`: float32, native byte order, [len(tokens) - first, vocabulary]. Row i predicts
    tokens[first + i] from all tokens before it. `first` is 1 or more.
    Answered by Result({"rows": int, "vocabulary": int, "seconds": float of the engine alone}). An engine that knows no
    logits, but the probability of each token, writes no file and adds "log_probabilities": ln p of each scored token.
    Where it counts tokens otherwise, these belong to its tokens of the same text.
    """

    id: str
    tokens: list[int]
    first: int
    file: str


@dataclass(frozen=True)
class Quantize:
    """Write a quantized copy of the model at `source` into the existing empty folder `target`.

    `method`: the name of one of the spec's quantizers; `settings`: for its settings class. `name`: the result's name.
    `calibration`: rows of {"text": str} or {"messages": [...]}, for methods that are calibrated. `card`: facts for the
    model card, which formats with metadata carry inside the file. `checkpoints`: an existing folder with what earlier
    runs of the same job kept, for a method that resumes. `measurements`: an existing folder that the jobs of a method
    share, for a method that measures. Both are "" for other methods.
    Answered by Progress and then Result({"versions": {package: version}, "notes": [sentence]}) or Failed.
    """

    id: str
    method: str
    source: str
    target: str
    name: str
    settings: Mapping[str, object] = field(default_factory=dict)
    calibration: Sequence[Mapping[str, Any]] = field(default_factory=list)
    card: Mapping[str, Any] = field(default_factory=dict)
    checkpoints: str = ""
    measurements: str = ""


@dataclass(frozen=True)
class TryQuantize:
    """Find out within seconds, without writing anything, how long a Quantize with these settings will compute.

    `calibration`: rows as of Quantize, where the text is here already.
    Answered by Result(the fields of worker.quantizer.Trial, or None where the quantizer has no trial) or Failed.
    """

    id: str
    method: str
    source: str
    settings: Mapping[str, object] = field(default_factory=dict)
    calibration: Sequence[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Train:
    """Train a LoRA adapter on the model at `source`, and write it as PEFT does into the existing empty folder `target`.

    `base`: name of the model, which the adapter records. `data`: a file with one example on each line, as
    families/training_data.py reads it. `checkpoints`: an existing folder; with `resume`, training continues from the
    newest checkpoint there. There the trainer may also write what families/training_curve.py reads, so that the page
    shows the losses while it trains. `settings`: for the settings class `LoaderSpec.training`.
    Answered by Progress and then Result or Failed. The Result: {"steps": int, "losses": [[step, loss]], "validation":
    [[step, loss]], "samples": [{"step": int, "epoch": float, "text": str}], "versions": {package: version}, "notes":
    [sentence]}.
    """

    id: str
    source: str
    base: str
    target: str
    data: str
    checkpoints: str
    settings: Mapping[str, object] = field(default_factory=dict)
    resume: bool = False


@dataclass(frozen=True)
class Merge:
    """Add the LoRA adapter in the folder `adapter` to the weights of the model at `source`, and write the model into
    the existing empty folder `target`.

    Answered by Progress and then Result({"versions": {package: version}, "notes": [sentence]}) or Failed.
    """

    id: str
    source: str
    adapter: str
    target: str


@dataclass(frozen=True)
class Unload:
    """Free the model and end the process at once. Answered by Result(None); the worker then exits with status 0."""

    id: str


Command = (
    Load
    | Generate
    | Start
    | Cancel
    | Tokenize
    | Detokenize
    | ChatPrompt
    | NextTokenProbabilities
    | Embed
    | Rerank
    | ApplyAdapter
    | Configure
    | Score
    | Quantize
    | TryQuantize
    | Train
    | Merge
    | Unload
)
