"""Quantizes to GGUF in workers of xllamacpp and llamacpp, and compares what both write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modules.library.gguf import read_header
from modules.protocol.commands import Quantize
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.runtime.worker_client import WorkerClient
from modules.runtime.worker_exit import WorkerExit
from tests.support.environments import installed, not_here

ROOT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True)
class Case:
    """One model to quantize: `folder`/LOADER/TYPE/demo.gguf is written for each of `types`, with `settings`."""

    source: Path
    folder: Path
    types: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)


class GgufQuantizers:
    """One worker for each loader, started at its first use. If it has died, the next use starts another."""

    def __init__(self, environments: Environments) -> None:
        self._environments = environments
        self._workers: dict[str, tuple[WorkerClient, list[WorkerExit]]] = {}

    def quantize(self, loader: str, source: Path, target: Path, types: Sequence[str], **settings: str) -> None:
        """Write `target`/TYPE/demo.gguf with the loader's quantizer, one for each of `types`."""
        client = self._worker(loader)
        for kind in types:
            place = target / kind
            place.mkdir(parents=True)
            values = {"type": kind, **settings}
            client.ask(Quantize(client.next_id(), "gguf", str(source), str(place), "demo", values), timeout=300)

    def assert_same(self, *cases: Case) -> None:
        """Assert that both loaders write the same types and bytes."""
        for loader in ("xllamacpp", "llamacpp"):
            for case in cases:
                self.quantize(loader, case.source, case.folder / loader, case.types, **case.settings)
        for case in cases:
            for kind in case.types:
                made = (case.folder / loader / kind / "demo.gguf" for loader in ("xllamacpp", "llamacpp"))
                ours, theirs = map(read_tensors, made)
                chosen = [{name: entry[0] for name, entry in tensors.items()} for tensors in (ours, theirs)]
                assert chosen[0] == chosen[1], kind
                assert ours == theirs, kind

    def close(self) -> None:
        """End the workers."""
        for client, _ in self._workers.values():
            client.stop()

    def _worker(self, loader: str) -> WorkerClient:
        if loader not in self._workers or self._workers[loader][1]:
            spec = Registry(ROOT / "loaders").get(loader)
            if reason := not_here(spec, self._environments):
                pytest.skip(reason)
            exits: list[WorkerExit] = []
            client = WorkerClient(spec, installed(spec, self._environments), ROOT, exits.append)
            self._workers[loader] = client, exits
            client.start()
        return self._workers[loader][0]


def read_tensors(file: Path) -> dict[str, tuple[str, bytes]]:
    """Return tensor name -> (type, bytes) of a GGUF file."""
    header, data = read_header(file), file.read_bytes()
    begin = header.data_offset
    return {
        tensor.name: (tensor.kind, data[begin + tensor.offset : begin + tensor.offset + tensor.size])
        for tensor in header.tensors
    }
