"""What the remote loader declares: a model on another server with an OpenAI-compatible API."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.protocol.sampling import ALL_SAMPLERS
from modules.protocol.schema import setting

_SERVER = "Server"
_TIMEOUTS = "Timeouts"
# Threads of a worker that generate.
MOST_AT_ONCE = 64


@dataclass(frozen=True)
class Settings:
    """How requests are sent to the server. Empty settings use what the model's file says."""

    context: int = setting(
        0,
        label="Context length",
        minimum=0,
        maximum=100_000_000,
        unit="tokens",
        group=_SERVER,
        help="Paddock limits chats to this length. 0: what the file or the server says, otherwise 8192.",
    )
    slots: int = setting(
        4,
        label="Replies at once",
        minimum=1,
        maximum=MOST_AT_ONCE,
        group=_SERVER,
        help="Requests that are sent to each server at the same time. Further ones wait in order.",
    )
    chats: str = setting(
        "auto",
        label="Render chats",
        choices=("auto", "here", "there"),
        group=_SERVER,
        help="here: Paddock renders chats with the chat template of the server or the file, otherwise ChatML. there: "
        "the server gets the messages and uses its own template. auto: here if the template is known.",
    )
    images: str = setting(
        "auto",
        label="Images",
        choices=("auto", "yes", "no"),
        group=_SERVER,
        help="Whether the model sees images. The server then renders chats that have some. auto: what the server says; "
        "yes where it says nothing.",
    )
    audio: str = setting(
        "auto",
        label="Sound",
        choices=("auto", "yes", "no"),
        group=_SERVER,
        help="Whether the model hears. The server then renders chats that have sounds. auto: what the server says; yes "
        "where it says nothing.",
    )
    connect_timeout: float | None = setting(
        None,
        label="Connect timeout",
        minimum=0.1,
        maximum=600,
        unit="s",
        group=_TIMEOUTS,
        help="How long to wait for a connection. Empty: what the file says, otherwise 10.",
    )
    answer_timeout: float | None = setting(
        None,
        label="Answer timeout",
        minimum=0.1,
        maximum=86_400,
        unit="s",
        group=_TIMEOUTS,
        help="How long the server may send nothing, for example while it reads a long prompt. Empty: what the file "
        "says, otherwise 300.",
    )
    retries: int | None = setting(
        None,
        label="Retries",
        minimum=0,
        maximum=20,
        group=_TIMEOUTS,
        help="Further attempts if the server is busy or not reachable, as long as no text has arrived. Empty: what the "
        "file says, otherwise 2.",
    )


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if facts.format != "remote":
        return None
    return Claim(80, "Another server runs this model, so it needs no memory and no graphics card here.")


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    """Return the memory of the worker only. Weights and cache are on the server."""
    return Demand(process=40 * MEBIBYTE, context=settings.context or facts.context, cache_bytes=0, batch=0)


SPEC = LoaderSpec(
    name="remote",
    title="Remote server",
    summary="A model on another OpenAI-compatible server, such as vLLM, TGI, llama.cpp's server or another Paddock.",
    formats=("remote",),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    # What any of the servers supports. A load names those that its server does not support (ModelInfo.ignored).
    samplers=ALL_SAMPLERS,
    # A server that reports none is found out by its first token.
    logprobs=True,
    accelerators=("cpu", "cuda", "rocm", "metal"),
)
