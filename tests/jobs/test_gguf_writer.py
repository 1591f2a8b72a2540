"""GGUF files of ours beside llama.cpp's own: the same types and bytes, and models that cannot be converted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modules.library.gguf import read_header
from modules.protocol.commands import Quantize
from modules.runtime.environment import Environments
from modules.runtime.loader_registry import Registry
from modules.runtime.worker_client import WorkerClient
from tests.support.environments import not_here
from tests.support.models import write_model_folder

ROOT = Path(__file__).resolve().parent.parent.parent
DEMO = ROOT / "models" / "demo"
TYPES = (
    *("F32", "BF16", "Q8_0", "Q6_K", "Q5_K_M", "Q5_0", "Q4_K_M", "Q4_K_S", "Q4_0", "IQ4_NL", "IQ4_XS"),
    *("Q3_K_L", "Q3_K_M", "Q3_K_S", "IQ3_M", "Q2_K"),
)


@dataclass(frozen=True)
class Case:
    """One model to quantize: `folder`/LOADER/TYPE/demo.gguf is written for each of `types`, with `settings`."""

    source: Path
    folder: Path
    types: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)


def quantize_in_worker(
    environments: Environments, loader: str, source: Path, target: Path, types: Sequence[str], **settings: str
) -> None:
    """Write `target`/TYPE/demo.gguf with the loader's quantizer, one for each of `types`."""
    with _worker(environments, loader) as client:
        _quantize(client, Case(source, target, types, settings), target)


def assert_same_as_llama_cpp(environments: Environments, *cases: Case) -> None:
    """Assert that both quantizers write the same types and bytes."""
    for loader in ("xllamacpp", "llamacpp"):
        with _worker(environments, loader) as client:
            for case in cases:
                _quantize(client, case, case.folder / loader)
    for case in cases:
        for kind in case.types:
            made = (case.folder / loader / kind / "demo.gguf" for loader in ("xllamacpp", "llamacpp"))
            ours, theirs = map(read_tensors, made)
            chosen = [{name: entry[0] for name, entry in tensors.items()} for tensors in (ours, theirs)]
            assert chosen[0] == chosen[1], kind
            assert ours == theirs, kind


@contextmanager
def _worker(environments: Environments, loader: str) -> Iterator[WorkerClient]:
    spec = Registry(ROOT / "loaders").get(loader)
    if reason := not_here(spec, environments):
        pytest.skip(reason)
    environments.build(spec, lambda text, fraction: None)
    client = WorkerClient(spec, environments.python(spec), ROOT, lambda exit: None)
    try:
        client.start()
        yield client
    finally:
        client.stop()


def _quantize(client: WorkerClient, case: Case, target: Path) -> None:
    for kind in case.types:
        place = target / kind
        place.mkdir(parents=True)
        values = {"type": kind, **case.settings}
        client.ask(Quantize(client.next_id(), "gguf", str(case.source), str(place), "demo", values), timeout=300)


def read_tensors(file: Path) -> dict[str, tuple[str, bytes]]:
    """Return tensor name -> (type, bytes) of a GGUF file."""
    header, data = read_header(file), file.read_bytes()
    begin = header.data_offset
    return {
        tensor.name: (tensor.kind, data[begin + tensor.offset : begin + tensor.offset + tensor.size])
        for tensor in header.tensors
    }


def test_every_type_is_what_llama_cpps_own_quantizer_writes(environments: Environments, tmp_path: Path) -> None:
    assert_same_as_llama_cpp(environments, Case(DEMO, tmp_path, TYPES))


def test_the_shipped_file_is_what_the_converter_makes(environments: Environments, tmp_path: Path) -> None:
    quantize_in_worker(environments, "xllamacpp", DEMO, tmp_path, ["Q8_0"])
    made, shipped = tmp_path / "Q8_0" / "demo.gguf", ROOT / "models" / "demo.Q8_0.gguf"
    assert read_tensors(made) == read_tensors(shipped)
    same = (
        "tokenizer.chat_template",
        "tokenizer.ggml.add_bos_token",
        "tokenizer.ggml.eos_token_id",
        "llama.vocab_size",
    )
    for key in same:
        assert read_header(made).metadata[key] == read_header(shipped).metadata[key], key


def test_a_gguf_file_of_whole_weights_is_a_source_too(environments: Environments, tmp_path: Path) -> None:
    quantize_in_worker(environments, "xllamacpp", DEMO, tmp_path / "a", ["F16", "Q4_K_M"])
    quantize_in_worker(environments, "xllamacpp", tmp_path / "a" / "F16" / "demo.gguf", tmp_path / "b", ["Q4_K_M"])
    assert read_tensors(tmp_path / "a" / "Q4_K_M" / "demo.gguf") == read_tensors(
        tmp_path / "b" / "Q4_K_M" / "demo.gguf"
    )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"architectures": ["OPTForCausalLM"]}, "is a OPTForCausalLM, which this converter does not write"),
        ({"rope_scaling": {"rope_type": "longrope"}, "rope_parameters": None}, "positions are scaled by longrope"),
    ],
)
def test_a_model_that_gguf_cannot_hold_truly_is_a_sentence(
    environments: Environments, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    folder = tmp_path / "other"
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("training"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))
    with pytest.raises(Exception, match=words):
        quantize_in_worker(environments, "xllamacpp", folder, tmp_path / "out", ["F16"])


def test_a_tokenizer_that_is_unknown_is_a_sentence(environments: Environments, tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "tiny")
    split = {"type": "Split", "pattern": {"Regex": "another"}}
    steps = {"type": "Sequence", "pretokenizers": [split, {"type": "ByteLevel", "use_regex": False}]}
    model = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps({"model": model, "pre_tokenizer": steps, "added_tokens": []}))
    with pytest.raises(Exception, match="splits text by a rule that this converter does not know"):
        quantize_in_worker(environments, "xllamacpp", folder, tmp_path / "out", ["F16"])
