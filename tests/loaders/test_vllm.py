"""The parts of the vllm loader that need no engine: claim, arguments, samplers, and errors of the start."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from loaders.vllm.engine_args import cache_bytes_per_token, choose_context, engine_arguments, with_draft_path
from loaders.vllm.engine_thread import EngineThread
from loaders.vllm.request_errors import request_error
from loaders.vllm.sampling_params import NOT_WITH_DRAFTS, sampling_fields
from loaders.vllm.spec import SPEC, Settings
from loaders.vllm.startup_progress import startup_error
from modules.library.ranking import rank_loaders
from modules.protocol.errors import EnvironmentBroken, ModelError, OutOfMemory, PaddockError, PromptError, SettingError
from modules.protocol.model_facts import Evidence, Gpu, Machine, ModelFacts
from modules.protocol.sampling import SamplingParams
from tests.library.writers import write_folder, write_json

BARE = Machine("linux", "x86_64", 4, 2**34, 2**33)
CARD = replace(BARE, gpus=(Gpu("cuda", "a card", 2**34, 2**34),))
CONFIG = {
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "hidden_size": 256,
    "max_position_embeddings": 2048,
    "dtype": "bfloat16",
}


def _runs(form: str, machine: Machine) -> bool:
    return any(entry.runs for entry in rank_loaders(ModelFacts("m", "m", form), [SPEC], machine))


def test_vllm_claims_formats_that_its_build_supports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.vllm.spec.cpu_features", lambda: frozenset({"avx512f"}))
    forms = ("safetensors", "awq", "gptq")
    assert all(_runs(form, machine) for form in forms for machine in (CARD, BARE))
    assert not _runs("gguf", CARD)
    assert not _runs("bitsandbytes", CARD)
    assert not _runs("safetensors", replace(CARD, system="windows"))


def test_models_that_see_need_a_card() -> None:
    facts = ModelFacts("m", "m", "safetensors", vision=True)
    assert rank_loaders(facts, [SPEC], CARD)[0].runs
    (refused,) = rank_loaders(facts, [SPEC], BARE)
    assert not refused.runs and "torchvision" in refused.reason


def test_vllm_claims_a_method_in_config_json(monkeypatch: pytest.MonkeyPatch) -> None:
    named = (Evidence("method", "x", "config.json: quantization_config"),)
    experts = (Evidence("experts", "8", "config.json: num_local_experts"),)
    shown = (Evidence("method", "x", "safetensors headers: l.weight is F8_E4M3"),)
    for form in ("fp8", "compressed-tensors", "mxfp4"):
        facts = ModelFacts("m", "m", form, evidence=named + experts)
        assert [entry.runs for entry in rank_loaders(facts, [SPEC], CARD)] == [True]
        (refused,) = rank_loaders(replace(facts, evidence=shown), [SPEC], CARD)
        assert not refused.runs and "config.json does not say" in refused.reason
    monkeypatch.setattr("loaders.vllm.spec.cpu_features", frozenset)
    needs_amx = [ModelFacts("m", "m", form, evidence=named + experts) for form in ("fp8", "mxfp4")]
    assert not any(rank_loaders(facts, [SPEC], BARE)[0].runs for facts in needs_amx)
    monkeypatch.setattr("loaders.vllm.spec.cpu_features", lambda: frozenset({"amx_tile"}))
    assert all(rank_loaders(facts, [SPEC], BARE)[0].runs for facts in needs_amx)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    packed = [
        replace(ModelFacts("m", "m", form, bits=4), evidence=named) for form in ("gptq", "awq", "compressed-tensors")
    ]
    assert not any(rank_loaders(facts, [SPEC], BARE)[0].runs for facts in packed)
    assert rank_loaders(replace(packed[2], bits=8), [SPEC], BARE)[0].runs
    monkeypatch.setattr("loaders.vllm.spec.cpu_features", lambda: frozenset({"avx512f"}))
    assert all(rank_loaders(facts, [SPEC], BARE)[0].runs for facts in packed)
    (dense,) = rank_loaders(ModelFacts("m", "m", "mxfp4", evidence=named), [SPEC], CARD)
    assert not dense.runs and "experts" in dense.reason


def test_the_context_is_at_most_the_models() -> None:
    assert choose_context(Settings(), CONFIG) == (2048, 2048)
    assert choose_context(Settings(context=512), CONFIG) == (512, 2048)
    assert choose_context(Settings(), {}) == (8192, 0)
    with pytest.raises(SettingError, match="trained context is 2048 tokens"):
        choose_context(Settings(context=4096), CONFIG)


def test_settings_become_engine_arguments() -> None:
    settings = Settings(
        tensor_parallel=2,
        pipeline_parallel=3,
        executor="ray",
        dtype="bfloat16",
        quantization="awq",
        memory_share=0.7,
        cache_type="fp8",
        slots=5,
        lora_rank=64,
        offload_gb=2,
    )
    arguments = engine_arguments(Path("/models/m"), settings, CONFIG, 1024, cpu=False)
    expected = {
        "model": "/models/m",
        "max_model_len": 1024,
        "tensor_parallel_size": 2,
        "pipeline_parallel_size": 3,
        "distributed_executor_backend": "ray",
        "dtype": "bfloat16",
        "quantization": "awq",
        "gpu_memory_utilization": 0.7,
        "kv_cache_dtype": "fp8",
        "max_num_seqs": 5,
        "enable_lora": True,
        "max_lora_rank": 64,
        "cpu_offload_gb": 2,
        "enforce_eager": False,
        "generation_config": "vllm",
    }
    assert {name: arguments[name] for name in expected} == expected
    assert not {"kv_cache_memory_bytes", "worker_cls"} & arguments.keys()


def test_on_a_cpu_vllm_reserves_two_contexts_and_does_not_compile() -> None:
    assert cache_bytes_per_token(CONFIG) == 2 * 4 * 2 * 64 * 2
    assert cache_bytes_per_token({**CONFIG, "dtype": "float32"}) == 2 * cache_bytes_per_token(CONFIG)
    large = engine_arguments(Path("m"), Settings(), CONFIG, 100_000, cpu=True)
    assert large["kv_cache_memory_bytes"] == 2 * 100_000 * cache_bytes_per_token(CONFIG)
    small = engine_arguments(Path("m"), Settings(), CONFIG, 256, cpu=True)
    assert small["kv_cache_memory_bytes"] == 64 * 2**20
    assert small["enforce_eager"] is True
    assert small["worker_cls"] == "amx_worker.AmxWorker"
    assert not {"quantization", "distributed_executor_backend", "enable_lora"} & small.keys()
    found = engine_arguments(Path("m"), Settings(cache_gb=1.5, compile="on"), CONFIG, 256, cpu=True)
    assert (found["kv_cache_memory_bytes"], found["enforce_eager"]) == (3 * 2**29, False)


def test_drafts_become_a_speculative_config(tmp_path: Path) -> None:
    model = tmp_path / "m"
    write_folder(tmp_path / "small")
    assert "speculative_config" not in engine_arguments(model, Settings(), CONFIG, 256, cpu=True)
    found = engine_arguments(model, Settings(ngram_draft=True, draft_tokens=7), CONFIG, 256, cpu=True)
    expected = {"method": "ngram", "num_speculative_tokens": 7, "prompt_lookup_min": 2, "prompt_lookup_max": 4}
    assert found["speculative_config"] == expected
    found = engine_arguments(model, Settings(draft_model="small"), CONFIG, 256, cpu=True)
    assert found["speculative_config"] == {"model": str(tmp_path / "small"), "num_speculative_tokens": 5}
    heads = {**CONFIG, "text_config": {"num_nextn_predict_layers": 2}}
    found = engine_arguments(model, Settings(mtp_draft=True), heads, 256, cpu=True)
    assert found["speculative_config"] == {"method": "mtp", "num_speculative_tokens": 2}
    found = engine_arguments(model, Settings(mtp_draft=True, draft_tokens=4), heads, 256, cpu=True)
    assert found["speculative_config"] == {"method": "mtp", "num_speculative_tokens": 4}
    with pytest.raises(ModelError, match="m carries no heads"):
        engine_arguments(model, Settings(mtp_draft=True), CONFIG, 256, cpu=True)
    for wrong, words in (
        (Settings(mtp_draft=True, draft_model="small"), "draft model or from the model's own heads"),
        (Settings(mtp_draft=True, ngram_draft=True), "drafts from one source"),
    ):
        with pytest.raises(SettingError, match=words):
            engine_arguments(model, wrong, heads, 256, cpu=True)
    with pytest.raises(SettingError, match="drafts from one source"):
        engine_arguments(model, Settings(draft_model="small", ngram_draft=True), CONFIG, 256, cpu=True)


@pytest.mark.parametrize(
    "given, expected",
    [
        ({}, {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "stop_token_ids": [7], "logit_bias": None}),
        ({"temperature": 0, "repetition_penalty": 1.5}, {"temperature": 0.0, "repetition_penalty": 1.5}),
        ({"do_sample": False}, {"temperature": 0.0}),
        ({"top_p": 0}, {"top_p": 1e-6}),
        ({"custom_token_bans": "5", "logit_bias": "6:900"}, {"logit_bias": {5: -100.0, 6: 100.0}}),
        ({"ban_eos_token": True}, {"logit_bias": {7: -100.0}, "stop_token_ids": [], "ignore_eos": True}),
    ],
)
def test_sampling_parameters_reach_vllm(given: dict[str, Any], expected: dict[str, Any]) -> None:
    fields = sampling_fields(SamplingParams(**given), (7,), 10, 3)
    assert {name: fields[name] for name in expected} == expected
    assert (fields["max_tokens"], fields["seed"]) == (10, 3)


def test_a_card_that_fills_up_under_a_reply_is_named() -> None:
    found = request_error(RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has"), SamplingParams())
    assert isinstance(found, OutOfMemory) and found.lower == ("context",)
    assert "Close other programs that use the card" in found.message and "GiB" not in found.message
    other = request_error(RuntimeError("illegal memory access"), SamplingParams())
    assert not isinstance(other, OutOfMemory)


def test_a_draft_model_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    model, draft = (write_folder(tmp_path / name) for name in ("m", "small"))
    config = json.loads((model / "config.json").read_text())
    settings = Settings(draft_model="small")
    write_json(model / "tokenizer.json", {"model": {"vocab": {"a": 0, "b": 1}}})
    write_json(draft / "tokenizer.json", {"model": {"vocab": {"a": 1, "b": 0}}})
    with pytest.raises(ModelError, match="small cannot be the draft model of m: their vocabularies differ. Choose"):
        engine_arguments(model, settings, config, 256, cpu=True)
    write_json(draft / "tokenizer.json", {"model": {"vocab": [["a", 0.0], ["b", -1.0]]}})
    assert "speculative_config" in engine_arguments(model, settings, config, 256, cpu=True)
    # The same tokens, padded to another number of rows.
    write_json(draft / "config.json", {**config, "vocab_size": 4224})
    with pytest.raises(ModelError, match=r"\(4,224 and 4,096 tokens\)"):
        engine_arguments(model, settings, config, 256, cpu=True)


def test_drafts_leave_out_what_vllm_refuses_with_them(tmp_path: Path) -> None:
    given = SamplingParams(temperature=1.0, min_p=0.1, ban_eos_token=True)
    fields = sampling_fields(given, (7,), 10, 3, drafting=True)
    assert "min_p" not in fields and fields["logit_bias"] is None and fields["ignore_eos"]
    assert set(NOT_WITH_DRAFTS) <= SPEC.samplers


def test_the_draft_model_is_found_beside_the_users_model(tmp_path: Path) -> None:
    (tmp_path / "small").mkdir()
    settings = with_draft_path(Settings(draft_model="small"), tmp_path / "model")
    assert settings.draft_model == str(tmp_path / "small")
    assert with_draft_path(Settings(), tmp_path / "model") == Settings()


def test_greedy_omits_parameters_that_are_not_greedy() -> None:
    fields = sampling_fields(SamplingParams(do_sample=False, repetition_penalty=1.5, top_p=0.5), (7,), 10, 3)
    assert not {"repetition_penalty", "top_p"} & fields.keys()
    with pytest.raises(PromptError):
        sampling_fields(SamplingParams(logit_bias="x:y"), (7,), 10, 3)
    with pytest.raises(PromptError, match="at most 2"):
        sampling_fields(SamplingParams(temperature=3), (7,), 10, 3)


@pytest.mark.parametrize(
    "said, kind, words",
    [
        (
            (
                "(EngineCore pid=1) ERROR [core.py:1] ValueError: Available memory on node 0 (1/2 GiB) on startup is "
                "less than desired CPU memory utilization (0.9).\nRuntimeError: Engine core initialization failed."
            ),
            OutOfMemory,
            "Available memory on node 0",
        ),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", OutOfMemory, "CUDA out of memory"),
        (
            (
                "ValueError: Free memory on device cuda:0 (3.1/23.6 GiB) on startup is less than desired GPU memory "
                "utilization (0.9, 21.3 GiB). Decrease GPU memory utilization or reduce GPU memory used by others."
            ),
            OutOfMemory,
            "Lower GPU memory utilization (memory_share), or close other programs",
        ),
        ("ModuleNotFoundError: No module named 'ray'", EnvironmentBroken, "Set Executor to mp"),
        ("ModuleNotFoundError: No module named 'numba'", EnvironmentBroken, "--rebuild"),
        (
            (
                "ValueError: Total number of attention heads (4) must be divisible by tensor parallel size (3).\n"
                "RuntimeError: Engine core initialization failed. See root cause above."
            ),
            ModelError,
            "must be divisible by tensor parallel size",
        ),
        ("RuntimeError: Engine core initialization failed.", PaddockError, "did not start"),
    ],
)
def test_the_cause_of_a_failed_start_is_found_in_the_output(said: str, kind: type[PaddockError], words: str) -> None:
    error = startup_error("m", said)
    assert type(error) is kind
    assert words in error.message
    assert error.message.startswith(("vLLM", "Not enough memory", "Ray"))
    assert "\n" not in error.message


@dataclass
class Output:
    """The used fields of vLLM's RequestOutput. Token 0 ends a request."""

    request_id: str
    said: int

    @property
    def finished(self) -> bool:
        return self.said == 0


class Scripted:
    """An engine whose requests return the next part of their script at each step."""

    def __init__(self) -> None:
        self.running: dict[str, Iterator[int]] = {}
        self.aborted = threading.Event()
        self.threads: set[int] = set()

    def add_request(self, request: str, script: Iterable[int]) -> None:
        self.running[request] = iter(script)

    def step(self) -> list[Output]:
        self.threads.add(threading.get_ident())
        outputs = [Output(request, next(script)) for request, script in self.running.items()]
        for output in outputs:
            if output.finished:
                del self.running[output.request_id]
        return outputs

    def abort_request(self, requests: list[str]) -> None:
        for request in requests:
            self.running.pop(request, None)
        self.aborted.set()


@pytest.fixture
def stepper() -> Iterator[EngineThread]:
    made = EngineThread(Scripted)
    yield made
    made.close()


def test_outputs_and_errors_of_an_engine_arrive_in_order(stepper: EngineThread) -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise RuntimeError("a fault")

    never = threading.Event()
    assert [output.said for output in stepper.follow("a", never, script=[1, 2, 0])] == [1, 2, 0]
    with pytest.raises(TypeError):
        next(stepper.follow("b", never, script=None))
    outputs = stepper.follow("c", never, script=failing())
    assert next(outputs).said == 1
    with pytest.raises(RuntimeError, match="a fault"):
        next(outputs)
    assert [output.said for output in stepper.follow("d", never, script=[0])] == [0]
    assert len(stepper.engine.threads) == 1


@pytest.mark.parametrize("by", ["cancelling", "leaving"])
def test_a_dropped_request_is_ended(by: str, stepper: EngineThread) -> None:
    cancelled = threading.Event()
    outputs = stepper.follow("a", cancelled, script=itertools.count(1))
    assert next(outputs).said == 1
    if by == "cancelling":
        cancelled.set()
        assert list(outputs) == []
    else:
        outputs.close()
    assert stepper.engine.aborted.wait(30)
    assert not stepper.engine.running


def test_the_error_of_an_engine_that_cannot_start_has_the_reason() -> None:
    def refuse() -> None:
        raise ValueError("no memory")

    with pytest.raises(ValueError, match="no memory"):
        EngineThread(refuse)


_WATCHED = """
import subprocess, sys
from loaders.vllm.parent_watch import ParentWatch
watch = ParentWatch()
# This process keeps the pipe open while it lives.
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
if sys.argv[1] == "stop":
    watch.stop()
print("ready", flush=True)
sys.stdin.read()
"""


def _watched(how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _WATCHED, how],
        cwd=Path(__file__).resolve().parent.parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def test_a_killed_worker_leaves_no_process_behind() -> None:
    process = _watched("keep")
    os.kill(process.pid, signal.SIGKILL)
    # The pipe has ended, so no process keeps it open.
    assert process.communicate(timeout=60)[0] == ""


def test_a_stopped_watch_ends_no_process() -> None:
    process = _watched("stop")
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(subprocess.TimeoutExpired):
        process.communicate(timeout=0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
