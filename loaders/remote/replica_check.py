"""Find out what runs at each address, and whether it is the model that the others have."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePath

from loaders.remote.http_client import HttpClient
from loaders.remote.openai_dialect import ModelDescription, OpenAi
from loaders.remote.replicas import Replica
from loaders.remote.server_errors import ServerError
from loaders.remote.server_probe import probe_server
from modules.families.remote_file import RemoteFile
from modules.protocol.errors import ModelError, PaddockError

# Tokenizers differ in letters with accents, digits, spaces, other scripts and code.
_SAMPLE = "Grüße an 12345 Leute,\n    def f(x): return x['ключ'] + \"漢字 🦙\""
_PATIENCE_SECONDS = 10.0
_AT_ONCE = 16


@dataclass(frozen=True)
class Found:
    """What a server has: how to speak to it, the model, and the model's tokens of a sample (None: unknown)."""

    dialect: OpenAi
    about: ModelDescription
    vocabulary: list[int] | None


def open_replicas(file: RemoteFile, keys: dict[str, str]) -> list[Replica]:
    """Return a replica for each address of the file."""
    files = [file.only(address) for address in file.addresses]
    return [Replica(only, HttpClient(only, keys[only.address])) for only in files]


class ReplicaCheck:
    """Compares each replica with the first one that answered at load.

    `context`: the context length that the user set, which each server must have; 0: each must have the same.
    """

    def __init__(self, context: int) -> None:
        self._context = context
        self._reference: Found | None = None
        self._compares = False

    def first(self, replicas: Sequence[Replica]) -> tuple[Found, list[str]]:
        """Return what the first usable replica has, and a note for each replica that is left out.

        Raises ServerError or PaddockError if none can be used.
        """
        self._compares = len(replicas) > 1
        with ThreadPoolExecutor(min(_AT_ONCE, len(replicas)), thread_name_prefix="replica check") as pool:
            answers = list(pool.map(self._look, replicas))
        if not any(isinstance(found, Found) for found in answers):
            raise _none_answers(answers)
        for replica, found in zip(replicas, answers, strict=True):
            try:
                self._accept(replica, found)
            except PaddockError as error:
                replica.problem = error.message
        assert self._reference is not None
        return self._reference, [
            f"{replica.address} is left out: {replica.problem} It is used once that is corrected."
            for replica in replicas
            if replica.problem
        ]

    def __call__(self, replica: Replica) -> None:
        """Set `dialect` and `fits` of a replica. Raises PaddockError if it lacks the model or does not answer."""
        self._accept(replica, self._look(replica))

    def _accept(self, replica: Replica, found: Found | ServerError | PaddockError) -> None:
        if isinstance(found, ServerError):
            raise found.error
        replica.fits = False
        if isinstance(found, PaddockError):
            raise found
        self._reference = self._reference or found
        if difference := self._difference(found, self._reference):
            raise ModelError(difference)
        # With the client that is patient enough for replies.
        replica.dialect = type(found.dialect)(replica.client, found.dialect.model)
        replica.fits = True

    def _difference(self, found: Found, first: Found) -> str:
        """Return a sentence about what keeps the server from standing in for the first one, or ""."""
        here, there = found.dialect, first.dialect
        other = there.remote.file.address
        if here.title != there.title:
            return f"It is {here.title}, and {other} is {there.title}. Run the same kind of server on both."
        if not here.remote.file.model and _base(here.model) != _base(there.model):
            return f"It has the model {here.model}, and {other} has {there.model}. Load the same model on both."
        if found.vocabulary is not None and first.vocabulary not in (None, found.vocabulary):
            return f"Its tokenizer gives other tokens than that of {other}. Load the same model on both."
        mine, theirs = found.about.context, first.about.context
        if self._context and mine and mine < self._context:
            return f"Its context is {mine:,} tokens, but Context length is {self._context:,}. Load it there with more."
        if not self._context and mine != theirs:
            return (
                f"Its context is {mine:,} tokens, and that of {other} {theirs:,}. Give both the same, or write the "
                "smaller one into the file, such as context: 4096."
            )
        return ""

    def _look(self, replica: Replica) -> Found | ServerError | PaddockError:
        file = replica.file
        patience = min(file.answer_timeout, _PATIENCE_SECONDS)
        try:
            client = replica.client.with_file(dataclasses.replace(file, answer_timeout=patience))
            dialect, about, _ = probe_server(client)
            return Found(dialect, about, _vocabulary(dialect) if self._compares else None)
        except (ServerError, PaddockError) as error:
            return error


def _vocabulary(dialect: OpenAi) -> list[int] | None:
    try:
        return dialect.vocabulary(_SAMPLE)
    except (KeyError, TypeError, ValueError):
        return None


def _base(model: str) -> str:
    """Return the last part of a model's name, which may be a path on its server."""
    return PurePath(model.replace("\\", "/")).name


def _none_answers(answers: Sequence[Found | ServerError | PaddockError]) -> PaddockError:
    errors = [found.error if isinstance(found, ServerError) else found for found in answers]
    known = [error for error in errors if isinstance(error, PaddockError)]
    if len(known) == 1:
        return known[0]
    return PaddockError(f"None of the {len(known)} servers can be used. {' '.join(error.message for error in known)}")
