"""Tokens per second with drafts over without: of text that repeats itself, of free text, and with a draft model."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmarks.model import measured_model
from benchmarks.report import Figure, median
from benchmarks.server import ROOT, Running, running
from modules.library.machine import inspect_machine
from modules.protocol.schema import describe
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry

LOADERS = ("xllamacpp", "llamacpp", "transformers")
TOKENS = 128
ROUNDS = 4
_LINES = "".join(f"Step {number}: open the folder, read the file, load the model.\n" for number in range(1, 9))
_DRAFT_TOKENS = "4"


@dataclass(frozen=True)
class Case:
    """One way to draft. `body`: fields of the request. `settings`: of the side that drafts."""

    name: str
    body: Mapping[str, object]
    settings: Mapping[str, object]


def cases(model: str) -> tuple[Case, ...]:
    """Return the cases. The measured model has random weights: its likeliest text repeats, and a drawn one does not.

    The draft model is the model itself, as no smaller one fits: it shows what a draft costs, not what it gains.
    """
    repeat = {"prompt": _LINES * 2, "temperature": 0}
    free = {"prompt": "Write a story about a fox.", "temperature": 1.0, "top_k": 0, "top_p": 1.0}
    text = {"ngram_draft": True}
    return (
        Case("ngram repeat", repeat, text),
        Case("ngram free", free, text),
        Case("draft", repeat, {"draft_model": model, "draft_tokens": _DRAFT_TOKENS}),
    )


def run(loaders: Sequence[str] = ()) -> Iterator[Figure]:
    """Yield tokens per second with drafts for each case and loader; `ratio` is over without.

    `same`: share of the texts that are equal; `guessed`: share of the tokens that a draft had right. Both sides answer
    in turns, in one run.
    """
    registry = Registry(ROOT / "loaders")
    environments = Environments(ROOT / ".envs", [ROOT / "loaders"], inspect_machine())
    for loader in loaders or LOADERS:
        environments.build(registry.get(loader), lambda text, fraction: print(text, file=sys.stderr))
        model = measured_model(ROOT, loader)
        known = {entry.name for entry in describe(registry.get(loader).settings)}
        for case in cases(model.name):
            if known >= set(case.settings):
                yield _figure(loader, model, case)


def _figure(loader: str, model: Path, case: Case) -> Figure:
    with ExitStack() as stack:
        plain = stack.enter_context(_serving(loader, model, {}))
        drafting = stack.enter_context(_serving(loader, model, case.settings))
        for server in (plain, drafting):
            _reply(server, case, 0)
        # A text that was written before is a draft of itself, so each round has another seed.
        pairs = [(_reply(plain, case, number), _reply(drafting, case, number)) for number in range(1, ROUNDS + 1)]
    ratio = median([drafted.rate / bare.rate for bare, drafted in pairs])
    more = {
        "same": sum(drafted.text == bare.text for bare, drafted in pairs) / ROUNDS,
        "guessed": median([drafted.guessed for _, drafted in pairs]),
    }
    rate = median([drafted.rate for _, drafted in pairs])
    return Figure("speculative", f"{loader} {case.name}", rate, "tokens/s", ratio, more)


@dataclass(frozen=True)
class _Reply:
    """A reply: its text, the share of its tokens that a draft had right, and its tokens per second."""

    text: str
    guessed: float
    rate: float


def _reply(server: Running, case: Case, seed: int) -> _Reply:
    """Return a reply, with the tokens per second from the request to its end."""
    body = {
        **case.body,
        "seed": seed,
        "max_tokens": TOKENS,
        "ban_eos_token": True,
        "stream_options": {"include_usage": True},
    }
    begin, text, tokens, accepted = time.perf_counter(), "", 0, 0
    for part in server.stream("/v1/completions", body):
        text += "".join(choice["text"] for choice in part["choices"])
        if usage := part.get("usage"):
            tokens = usage["completion_tokens"]
            accepted = usage["completion_tokens_details"]["accepted_prediction_tokens"]
    return _Reply(text, accepted / max(1, tokens), tokens / (time.perf_counter() - begin))


@contextmanager
def _serving(loader: str, model: Path, settings: Mapping[str, object]) -> Iterator[Running]:
    """Run Paddock with one model and these settings of its loader."""
    with tempfile.TemporaryDirectory() as data:
        saved = {model.name: {"loader": loader, "settings": dict(settings)}}
        (Path(data) / "model_settings.yaml").write_text(yaml.safe_dump(saved), encoding="utf-8")
        with running("--model", model.name, "--loader", loader, models=model.parent, user_data=Path(data)) as server:
            yield server
