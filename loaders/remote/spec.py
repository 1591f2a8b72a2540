"""What the remote loader declares: a model that another server runs, behind an OpenAI-compatible address."""

from __future__ import annotations

from dataclasses import dataclass

from modules.protocol.loader_spec import LoaderSpec
from modules.protocol.memory_demand import MEBIBYTE, Demand
from modules.protocol.model_facts import Claim, Machine, ModelFacts
from modules.protocol.sampling import ALWAYS_HONOURED, SamplingParams
from modules.protocol.schema import describe, setting

_SERVER = "Server"
_PATIENCE = "Patience"


@dataclass(frozen=True)
class Settings:
    """How the server is asked. What is left empty is as the model's file says."""

    context: int = setting(
        0,
        label="Context length",
        minimum=0,
        maximum=100_000_000,
        unit="tokens",
        group=_SERVER,
        help="What Paddock keeps chats to. 0 takes what the file or the server says; where neither does, 8192.",
    )
    slots: int = setting(
        4,
        label="Replies at once",
        minimum=1,
        maximum=64,
        group=_SERVER,
        help="Requests that are under way together; more wait here in order.",
    )
    chats: str = setting(
        "auto",
        label="Chats are rendered",
        choices=("auto", "here", "there"),
        group=_SERVER,
        help="here: with the chat template that the server tells or the file holds, else ChatML. there: the server "
        "gets the messages and uses its own. auto: here where the template is known.",
    )
    connect_timeout: float | None = setting(
        None,
        label="Connect timeout",
        minimum=0.1,
        maximum=600,
        unit="s",
        group=_PATIENCE,
        help="How long to wait for a connection. Empty: as the file says, else 10.",
    )
    answer_timeout: float | None = setting(
        None,
        label="Answer timeout",
        minimum=0.1,
        maximum=86_400,
        unit="s",
        group=_PATIENCE,
        help="How long the server may say nothing at all, such as while it reads a long prompt. Empty: as the file "
        "says, else 300.",
    )
    retries: int | None = setting(
        None,
        label="Retries",
        minimum=0,
        maximum=20,
        group=_PATIENCE,
        help="Further tries when the server is full or not there, as long as no text has come. Empty: as the file "
        "says, else 2.",
    )


def _claim(facts: ModelFacts, machine: Machine) -> Claim | None:
    if facts.format != "remote":
        return None
    return Claim(80, "Another server runs this model: here it needs neither memory nor a graphics card.")


def _memory(facts: ModelFacts, settings: Settings, machine: Machine) -> Demand:
    """The worker alone: weights and cache are the server's."""
    return Demand(process=40 * MEBIBYTE, context=settings.context or facts.context, cache_bytes=0, batch=0)


SPEC = LoaderSpec(
    name="remote",
    title="Remote server",
    summary="A model on another OpenAI-compatible server: vLLM, TGI, llama.cpp's server, another Paddock.",
    formats=("remote",),
    settings=Settings,
    claim=_claim,
    memory=_memory,
    # What some server takes; those that the one at hand does not are named when it is loaded (ModelInfo.ignored).
    samplers=frozenset(entry.name for entry in describe(SamplingParams)) - ALWAYS_HONOURED - {"penalty_alpha"},
    accelerators=("cpu", "cuda", "rocm", "metal"),
)
